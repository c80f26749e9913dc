"""The shape of every statement: what plain PostgreSQL takes and a distributed one too (docs/scale.md).

A statement on customer data names whose it is, by `customer_id = ...` or `= ANY(...)`, so that one node answers it; it
speaks of no table that lies elsewhere; locks are taken on one table. Each exception stands here with its reason.
"""

import ast
import importlib
import re

import pytest
from pglast import ast as nodes, parse_sql
from pglast.enums import A_Expr_Kind, BoolExprType
from pglast.visitors import Visitor

from brimful.db.citus.distribute import APART, DISTRIBUTED, LOCAL, REFERENCE
from schema.test_schema import SOURCE, STATEMENTS

KEY = "customer_id"
# A coordinator evaluates none of these in what changes a row.
VOLATILE = {"clock_timestamp", "gen_random_uuid", "nextval", "random", "timeofday"}
BEGINS = re.compile(r"\s*(SELECT|INSERT|UPDATE|DELETE|WITH)\b")
# Asked of every node, because nobody's name is known beforehand. None of them stands on the way of a debit.
EVERY_NODE = {
    "top_ups/store.py:_PAGE_OF_ALL": "a list of everybody's top-ups, by an index of each shard",
    "cards/store.py:_SAME_PLASTIC": "a physical card may be saved by many customers",
    "payments/reversals.py:_OPEN": "an operator looks at everybody's open disputes",
    "payments/reversals.py:_COUNT_OPEN": "a gauge counts everybody's",
    "payments/reconcile.py:_OPEN_DISPUTES": "a reconciliation is of every account",
    "payments/reconcile.py:_YOUNG_REFUNDS": "a reconciliation is of every account",
    "operations/anchors.py:_ENDS": "an anchor is of every account",
    "api/metrics.py:_LIVE": "a gauge counts everybody's",
    "operations/archive.py:_MARKS": "an archive is of every account",
    "operations/archive.py:_OLD": "an archive is of every account",
    "auto_top_up/card_expiry.py:_EXPIRING": "the slow sweep finds cards that are about to expire",
    "auto_top_up/evaluate.py:_ENABLED": "the slow sweep derives every rule anew",
    "auto_top_up/evaluate.py:_OVERDUE": "the sweep finds waits that are over, by a partial index",
    "cards/setups.py:_LIST_OPEN": "the sweep finds setups that nobody closed",
    "cards/velocity.py:_ADDED": "a storm of cards being tried is everybody's",
    "console/pages/home.py:_STATES": "an operator looks at everybody's",
    "console/pages/home.py:_ENDED": "an operator looks at everybody's",
    "auto_top_up/prices.py:_HELD": "a price is everybody's",
    "auto_top_up/thresholds.py:_PAGE": "thresholds follow the use, each hour",
    "auto_top_up/thresholds.py:_DELETE_OLD": "the roll-up deletes everybody's old changes",
    "top_ups/timing.py:_MEASURE": "an installation is measured over everybody's payments",
    "ledger/usage_hours.py:_BEHIND": "the roll-up finds accounts that were used since",
    "ledger/spend.py:DELETE_OLD": "the roll-up deletes everybody's old days",
    "budgets/windows.py:_OLD": "the slow sweep finds windows that nobody asks for any more",
    "ledger/usage_hours.py:_DELETE_OLD": "the roll-up deletes everybody's old hours",
    "customers.py:_LIST": "the platform lists its customers",
    "customers.py:_COUNT": "the platform lists its customers",
    **{
        f"operations/export.py:_QUERIES[{kind}]": "an export is of everybody's"
        for kind in (
            "customers",
            "entries",
            "top-ups",
            "payments",
            "refunds",
            "disputes",
            "consents",
            "budgets",
            "spend",
        )
    },
    "operations/export.py:_ACCOUNTS": "an export is of everybody's",
    "operations/evidence.py:_OWNER": "Stripe names a dispute by its id alone",
    "operations/lookup.py:_LINES": "an operator lists everybody's top-ups",
    "operations/lookup.py:_SEARCH": "an operator searches by part of a name",
    "operations/health.py:_PAID": "whether anybody ever paid",
    "operations/health.py:TOP_UPS": "how many wait, of everybody's",
    "db/migrate.py:_ANYBODY": "whether a database is somebody's",
    "payments/refunds.py:_DUE": "the sweep finds refunds that are due",
    "payments/reconcile.py:_PAID_HERE": "our books of a span of time against Stripe's list",
    "payments/reconcile.py:_REFUND_STATE": "Stripe names a refund by its id alone",
    "payments/reconcile.py:_DISPUTE_STATE": "Stripe names a dispute by its id alone",
    "top_ups/store.py:_DUE": "the sweep finds what is due, by a partial index",
    "top_ups/store.py:_OWNER": "an automatic top-up has no alias, the hot path writes none; only its id is known",
    "operations/verify.py:_CREDITS": "verification reads everybody's",
    "operations/verify.py:_CURRENCIES": "verification reads everybody's",
    "operations/verify.py:_ENDS": "verification reads everybody's",
    "operations/verify.py:_LOST": "verification reads everybody's",
    "operations/verify.py:_ONWARD": "verification reads everybody's",
    "operations/verify_lots.py:_UNOFFERED": "verification reads everybody's",
    "operations/verify.py:_WHOLE": "verification reads everybody's",
    "ledger/accounts.py:_MISSED": "the sweep looks for what should not be",
    "ledger/accounts.py:_LOTS_DUE": "the expiry finds accounts with a credit that is due, by a partial index",
    "ledger/lot_store.py:_BEHIND": "the roll-up finds accounts whose lots were not looked at for long",
    "leases/store.py:_WAITING": "the sweep finds leases that no movement tells anything, by a partial index",
    "ledger/holds.py:_ACCOUNTS_DUE": "the expiry finds holds whose time has run out, by a partial index",
}


def sources():
    """Every statement: the constants, put together, and what stands in a call. {place: SQL}."""
    found = dict(STATEMENTS)
    known = {" ".join(sql.split()) for sql in found.values()}
    for path in sorted(SOURCE.rglob("*.py")):
        if {"sandbox", "simulation", "bench", "demo"} & set(path.parts):
            continue
        name = ".".join(["brimful", *path.relative_to(SOURCE).with_suffix("").parts]).removesuffix(".__init__")
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
                continue
            for argument in node.args[:1]:
                text = _text(argument, vars(importlib.import_module(name)))
                if (
                    isinstance(text, str)
                    and BEGINS.match(text)
                    and "{" not in text
                    and " ".join(text.split()) not in known
                ):
                    found[f"{path.relative_to(SOURCE)}:{node.lineno}"] = text
    return {name: sql for name, sql in found.items() if not name.startswith("dev/")}


def _text(argument, names):
    """A literal, a constant, or the two put together."""
    if isinstance(argument, ast.Constant):
        return argument.value
    if isinstance(argument, ast.Name):
        return names.get(argument.id)
    if isinstance(argument, ast.BinOp):
        parts = [_text(side, names) for side in (argument.left, argument.right)]
        return "".join(parts) if all(isinstance(part, str) for part in parts) else None
    return None


def parsed(sql):
    places = {}
    numbered = re.sub(r"%(?:\((\w+)\))?s", lambda f: f"${places.setdefault(f[1] or object(), len(places) + 1)}", sql)
    return parse_sql(numbered.replace("%%", "%"))[0].stmt


LEVELS = (nodes.SelectStmt, nodes.InsertStmt, nodes.UpdateStmt, nodes.DeleteStmt)


def around(ancestors):
    while ancestors is not None:
        yield ancestors.node
        ancestors = ancestors.parent


def alias_of(item):
    return item.alias.aliasname if getattr(item, "alias", None) else getattr(item, "relname", None)


class Tables(Visitor):
    """Which table an alias stands for, in each SELECT of a statement: an inner one may use a name again."""

    def __init__(self):
        self.levels = {}  # SELECT, UPDATE or DELETE -> {alias: table or None}

    def visit_RangeVar(self, ancestors, node):
        self._meet(ancestors, alias_of(node), node.relname)

    def visit_RangeFunction(self, ancestors, node):
        self._meet(ancestors, alias_of(node), None)

    def visit_RangeSubselect(self, ancestors, node):
        self._meet(ancestors, alias_of(node), None)

    def _meet(self, ancestors, alias, table):
        level = next(node for node in around(ancestors) if isinstance(node, LEVELS))
        known = table in {*DISTRIBUTED, *LOCAL, *REFERENCE, *APART} or (table or "").startswith("procrastinate_")
        self.levels.setdefault(id(level), {})[alias] = table if known else None


class Shape(Visitor):
    """What a statement speaks of, and by which names its rows are found.

    A coordinator asks one node when each table's customers are given, by themselves: what a join says of others it
    follows from one customer (`= $1`) to another table of the same SELECT, not from a list (`= ANY`), and never into
    a subquery, an EXISTS or a LATERAL.
    """

    def __init__(self, levels):
        self.levels = levels
        self.locks = []  # (aliases in FROM, ...) of each SELECT that locks
        self.selects = []
        self.simple_cases = 0
        self.functions = set()
        self.same = []  # pairs of tables whose customers are equal
        self.one = set()  # tables whose customer is given
        self.listed = set()  # tables whose customers are given as a list

    @property
    def tables(self):
        """{(level, alias): table} of those we know."""
        pairs = ((level, alias, table) for level, found in self.levels.items() for alias, table in found.items())
        return {(level, alias): table for level, alias, table in pairs if table}

    def visit_SelectStmt(self, ancestors, node):
        self.selects.append(node)
        if node.lockingClause:
            self.locks.append(node)

    def visit_FuncCall(self, ancestors, node):
        self.functions.add(node.funcname[-1].sval)

    def visit_CaseExpr(self, ancestors, node):
        self.simple_cases += node.arg is not None

    def visit_JoinExpr(self, ancestors, node):
        if node.usingClause and any(part.sval == KEY for part in node.usingClause):
            level = next(id(one) for one in around(ancestors) if isinstance(one, LEVELS))
            self.same.append(tuple((level, alias_of(side)) for side in (node.larg, node.rarg)))

    def visit_A_Expr(self, ancestors, node):
        if [part.sval for part in node.name] != ["="] or self._may_be_false(ancestors):
            return
        left, right = self._owner(ancestors, node.lexpr), self._owner(ancestors, node.rexpr)
        if left and right:
            self.same.append((left, right))
        elif left and node.kind == A_Expr_Kind.AEXPR_OP_ANY:
            self.listed.add(left)
        elif left and not isinstance(node.rexpr, nodes.ColumnRef):
            self.one.add(left)
        elif right and not isinstance(node.lexpr, nodes.ColumnRef):
            self.one.add(right)

    def visit_BoolExpr(self, ancestors, node):
        """One customer, or any of a list: each alternative names the same table's customer."""
        if node.boolop != BoolExprType.OR_EXPR or self._may_be_false(ancestors):
            return
        owners = {
            self._owner(ancestors, one.lexpr)
            if isinstance(one, nodes.A_Expr) and not isinstance(one.rexpr, nodes.ColumnRef)
            else None
            for one in node.args
        }
        if len(owners) == 1:
            self.listed |= owners - {None}

    def _may_be_false(self, ancestors):
        """Beside an OR, under a NOT, in a CASE, in what is shown or ordered by: a row may pass without it."""
        for ancestor in around(ancestors):
            if isinstance(ancestor, nodes.SelectStmt):
                return False
            if isinstance(ancestor, (nodes.CaseExpr, nodes.SortBy, nodes.ResTarget)):
                return True
            if isinstance(ancestor, nodes.BoolExpr) and ancestor.boolop != BoolExprType.AND_EXPR:
                return True
        return False

    def _owner(self, ancestors, expression):
        """The table, as (level, alias), whose customer_id an expression is."""
        if isinstance(expression, nodes.CollateClause):
            expression = expression.arg
        if not isinstance(expression, nodes.ColumnRef) or not isinstance(expression.fields[-1], nodes.String):
            return None
        names = [part.sval for part in expression.fields]
        if names[-1] != KEY:
            return None
        for ancestor in around(ancestors):
            found = self.levels.get(id(ancestor), {})
            if len(names) == 2 and names[0] in found:
                return id(ancestor), names[0]
            if len(names) == 1 and found:
                items = list(getattr(ancestor, "fromClause", None) or ())
                items += [ancestor.relation] if isinstance(ancestor, (nodes.UpdateStmt, nodes.DeleteStmt)) else []
                return id(ancestor), alias_of(items[0])
        return None

    @property
    def whose(self):
        """Tables whose customers are given, by themselves or, from one customer, through others beside them."""
        known = set(self.one)
        grown = True
        while grown:
            grown = False
            for one, two in self.same:
                if one[0] == two[0] and (one in known) != (two in known):
                    known |= {one, two}
                    grown = True
        return known | self.listed


def shape(sql):
    tree = parsed(sql)
    tables = Tables()
    tables(tree)
    found = Shape(tables.levels)
    found(tree)
    if isinstance(tree, nodes.InsertStmt):
        found.one.add((id(tree), alias_of(tree.relation)))
    return found


SOURCES = sources()
# A beginning that several statements share is judged in each of them.
CASES = [
    (name, sql) for name, sql in SOURCES.items()
    if set(shape(sql).tables.values()) & set(DISTRIBUTED)
    and not any(other.startswith(sql) and other != sql for other in SOURCES.values())
]  # fmt: skip


def test_most_of_it_is_about_customers():
    assert len(CASES) > 100
    assert set(EVERY_NODE) <= {name for name, _ in CASES}


@pytest.mark.parametrize(("name", "sql"), CASES, ids=[name for name, _ in CASES])
def test_a_statement_on_customer_data_says_whose_and_speaks_of_no_other_nodes_tables(name, sql):
    found = shape(sql)
    elsewhere = {table for table in found.tables.values() if table not in (*DISTRIBUTED, *REFERENCE)}
    assert elsewhere == set()
    anonymous = {place for place, table in found.tables.items() if table in DISTRIBUTED} - found.whose
    assert (anonymous != set()) == (name in EVERY_NODE), [alias for _, alias in anonymous]
    # What several nodes answer is put together from columns: without any it cannot be.
    assert not anonymous or all(select.targetList for select in found.selects)
    # Sent on to a node, CASE x WHEN y loses its x: it says CASE WHEN x = y instead.
    assert found.simple_cases == 0
    assert isinstance(parsed(sql), (nodes.SelectStmt, nodes.InsertStmt)) or not found.functions & VOLATILE
    for select in found.locks:
        [only] = select.fromClause
        assert isinstance(only, nodes.RangeVar), "a lock over a join"
        assert name not in EVERY_NODE, "a lock without a name"
