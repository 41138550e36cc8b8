"""What a program in Python would do with the generated client: read, page, and be refused."""

import sys

sys.path.insert(0, ".")

from gongsuan_client import Client  # noqa: E402
from gongsuan_client.api.accounts import account  # noqa: E402
from gongsuan_client.api.chain import blocks, status  # noqa: E402
from gongsuan_client.api.market import order  # noqa: E402

url, address = sys.argv[1:]
client = Client(base_url=url)
now = status.sync(client=client)
assert now.height >= 1 and len(now.peers) == 3, now
mine = account.sync(address, client=client)
assert int(mine.balance) > 0, mine
page = blocks.sync(client=client, limit=1)
assert len(page.blocks) == 1, page
refused = order.sync_detailed(999999, client=client)
assert refused.status_code == 404, refused
print(f"Python: height {now.height}, {mine.balance} micro-tokens")
