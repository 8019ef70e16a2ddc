"""What Zoho allows for each account, and how far bulkfetch stays below it."""

# Zoho: "Only 10 requests for download are allowed for one-minute interval."
ZOHO_REQUESTS = 10
ZOHO_PERIOD_S = 60.0
# Added to the period, for servers that stamp whole seconds and for clocks that differ.
MARGIN_S = 1.0
