"""What the HTTP servers share: page headers, forms, limits, rate limiting."""
