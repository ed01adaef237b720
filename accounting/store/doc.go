// Package store keeps the ledger of package accounting on disk: durable,
// checked, and never without a previous good copy.
//
// # Two files
//
// A state directory holds ledger-a.db and ledger-b.db, two bbolt databases
// that are saved to in turn. A save is one transaction in one of them; it
// writes all that has changed since that file's own last save, and a sequence
// number. So the other file is always the state one save earlier, and it is
// enough: an account carries the identity and the last raw value of its
// counter, so that the next reading makes good what the lost save held, to the
// byte, as long as the kernel's table lives on. After a reboot it is that one
// save's traffic that is missing.
//
// A file comes to be under another name (ledger-a.db.new) and takes its place
// by a rename when its first save is durable: a file either is not there or is
// whole. A file that a save failed on is not trusted again: at its next turn
// it is replaced by a copy of the other one. A failed save therefore costs
// nothing but its turn; the next goes to the other file.
//
// # What is checked
//
// bbolt does not notice damaged pages: it panics on them, faults, or reads
// wrong numbers, partly in goroutines of its own where no caller can recover.
// So a file is read by this package first, which trusts nothing in it: page
// numbers and bounds, page types, the order of keys, no page used twice (all
// that bbolt itself later relies on), and a checksum over every row of every
// bucket. Only a file that passes is handed to bbolt, which works out its free
// pages from that tree and from no list in the file. The same reader serves
// [Read], which thereby needs no lock.
//
// A damaged file is renamed to NAME.damaged-TIME and kept, the other one is
// used, and a [Notice] says so. When both are damaged, both are kept aside and
// the ledger begins anew, with a notice that says that totals were lost:
// refusing to save would lose the new totals too, at every restart, and totals
// that begin at a known moment are as honest as those of a first start.
//
// # Format, version 1
//
// Pages of 4096 bytes, bbolt's format 2. All numbers below are big endian.
//
//	bucket ledger    "header" -> version uint32, sequence uint64, rows uint64, sum uint64, check uint64
//	bucket totals    "all"    -> in packets, in bytes, out packets, out bytes uint64
//	bucket accounts  port uint16, protocol uint8, direction uint8 (0 in, 1 out) ->
//	                 total packets, total bytes, last packets, last bytes uint64, epoch 16 bytes, handle uint64
//
// In every version the header's first four bytes are the version and its last
// eight a checksum of those before. Rows and sum are over all buckets but
// ledger, those that this version does not know included: sum adds up, modulo
// 2^64, the first eight bytes of the SHA-256 of each row (the length of the
// bucket's name as uint8, the name, the length of the key as uint16, the key,
// the value), so that a save keeps it up by the rows that it changes. A later
// version may add buckets without a new number; buckets hold rows only.
package store
