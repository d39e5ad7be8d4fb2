// Run by `consumers.py` where tardis-dev is installed: it as a live client of OKX's swaps, by WSS_URL_OKEX_SWAP.
// Prints a line of JSON for each of its messages but those of the book, of which it prints, after each, the book that
// its own OrderBook has come to; and ends when nobody listens any more, or after so many books.
import { createRequire } from 'node:module'
import path from 'node:path'

const [folder, symbol, most] = process.argv.slice(2)
const require = createRequire(path.join(folder, 'package.json'))
const { streamNormalized, normalizeTrades, normalizeBookChanges, OrderBook } = require('tardis-dev')

// tardis-dev asks for `trades-all` at OKX's business address since 2023; before it asked for the channel `trades`.
const trades = (exchange) => normalizeTrades(exchange, new Date('2022-06-01'))
const end = () => process.stdout.write('', () => process.exit(0))
const options = {
  exchange: 'okex-swap',
  symbols: [symbol],
  withDisconnectMessages: true,
  onError: (error) => /ECONNREFUSED/.test(error.message) && end()
}

let book = new OrderBook()
let books = 0
for await (const message of streamNormalized(options, trades, normalizeBookChanges)) {
  if (message.type !== 'book_change') {
    if (message.type === 'disconnect') book = new OrderBook()
    console.log(JSON.stringify(message))
    continue
  }
  book.update(message)
  const sides = [book.bids(), book.asks()].map((side) => Array.from(side, (level) => [level.price, level.amount]))
  console.log(JSON.stringify({ type: 'book', ts: message.timestamp.valueOf(), sides }))
  books += 1
  if (books >= Number(most)) break
}
end()
