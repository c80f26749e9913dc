// A webhook receiver in TypeScript: verifies, acts once per event, answers at once.
//
//   npm ci && npm run build
//   BRIMFUL_WEBHOOK_SECRET=whsec_... node receiver.js [PORT]

import { createServer } from "node:http";
import { Webhook } from "standardwebhooks";

interface Event {
  type: string;
  timestamp: string;
  data: Record<string, unknown>;
}

const webhook = new Webhook(process.env.BRIMFUL_WEBHOOK_SECRET ?? "");
const seen = new Set<string>(); // in a real platform: a table with a unique key

const server = createServer(async (request, response) => {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  const id = String(request.headers["webhook-id"] ?? "");
  let event: Event;
  try {
    event = webhook.verify(Buffer.concat(chunks).toString("utf8"), {
      "webhook-id": id,
      "webhook-timestamp": String(request.headers["webhook-timestamp"] ?? ""),
      "webhook-signature": String(request.headers["webhook-signature"] ?? ""),
    }) as Event;
  } catch {
    response.writeHead(400).end();
    return;
  }
  if (!seen.has(id)) {
    // the same event may come twice
    seen.add(id);
    console.log(JSON.stringify({ id, type: event.type, data: event.data }));
  }
  response.writeHead(204).end();
});

server.listen(Number(process.argv[2] ?? 3000), "127.0.0.1");
