package store

import (
	"crypto/sha256"
	"encoding/binary"

	"ssmonitor/accounting"
)

// formatVersion is the format that this package writes, and the latest that it
// reads.
const formatVersion = 1

// The buckets of format version 1 and the keys of their only rows.
const (
	ledgerBucket   = "ledger"
	headerKey      = "header"
	totalsBucket   = "totals"
	totalsKey      = "all"
	accountsBucket = "accounts"
)

// Lengths in bytes of the format's keys and values.
const (
	versionLength = 4
	checkLength   = 8
	headerLength  = versionLength + 3*8 + checkLength
	totalsLength  = 4 * 8
	keyLength     = 4
	accountLength = 4*8 + len(accounting.Epoch{}) + 8
	maxBucketName = 255
	maxKeyLength  = 1<<16 - 1
)

// header is the row that describes all others.
type header struct {
	version  uint32
	sequence uint64 // of the save; the higher one of two files is the newer
	rows     uint64
	sum      uint64 // of the hashes of all rows
}

func (h header) encode() []byte {
	value := make([]byte, 0, headerLength)
	value = binary.BigEndian.AppendUint32(value, h.version)
	value = binary.BigEndian.AppendUint64(value, h.sequence)
	value = binary.BigEndian.AppendUint64(value, h.rows)
	value = binary.BigEndian.AppendUint64(value, h.sum)
	return binary.BigEndian.AppendUint64(value, shortHash(value))
}

// decodeHeader returns the version alone where it is a newer one: what follows
// it there is unknown.
func decodeHeader(value []byte) (header, error) {
	if len(value) < versionLength+checkLength {
		return header{}, damaged("the header is %d bytes long, expected %d", len(value), headerLength)
	}
	content, check := value[:len(value)-checkLength], value[len(value)-checkLength:]
	if shortHash(content) != binary.BigEndian.Uint64(check) {
		return header{}, damaged("the header's checksum is wrong")
	}
	h := header{version: binary.BigEndian.Uint32(content)}
	if h.version > formatVersion {
		return h, nil
	}
	if h.version == 0 || len(value) != headerLength {
		return header{}, damaged("the header has version %d and %d bytes, expected version %d and %d bytes",
			h.version, len(value), formatVersion, headerLength)
	}
	h.sequence = binary.BigEndian.Uint64(content[4:])
	h.rows = binary.BigEndian.Uint64(content[12:])
	h.sum = binary.BigEndian.Uint64(content[20:])
	return h, nil
}

func appendKey(buffer []byte, key accounting.Key) []byte {
	buffer = binary.BigEndian.AppendUint16(buffer, key.Port)
	return append(buffer, byte(key.Protocol), byte(key.Direction))
}

func appendAccount(buffer []byte, account *accounting.Account) []byte {
	buffer = appendCount(buffer, account.Total)
	buffer = appendCount(buffer, account.Last)
	buffer = append(buffer, account.Epoch[:]...)
	return binary.BigEndian.AppendUint64(buffer, account.Handle)
}

func decodeAccount(key, value []byte) (accounting.Account, error) {
	if len(key) != keyLength || len(value) != accountLength {
		return accounting.Account{}, damaged("an account has a key of %d and a value of %d bytes, expected %d and %d",
			len(key), len(value), keyLength, accountLength)
	}
	account := accounting.Account{
		Key: accounting.Key{
			Port:      binary.BigEndian.Uint16(key),
			Protocol:  accounting.Protocol(key[2]),
			Direction: accounting.Direction(key[3]),
		},
		Total:  decodeCount(value),
		Last:   decodeCount(value[16:]),
		Epoch:  accounting.Epoch(value[32:48]),
		Handle: binary.BigEndian.Uint64(value[48:]),
	}
	if account.Key.Direction > accounting.Out {
		return accounting.Account{}, damaged("account %x has direction %d, expected 0 or 1", key, key[3])
	}
	return account, nil
}

func appendTotals(buffer []byte, in, out accounting.Count) []byte {
	return appendCount(appendCount(buffer, in), out)
}

func decodeTotals(value []byte) (in, out accounting.Count, err error) {
	if len(value) != totalsLength {
		return in, out, damaged("the totals are %d bytes long, expected %d", len(value), totalsLength)
	}
	return decodeCount(value), decodeCount(value[16:]), nil
}

func appendCount(buffer []byte, count accounting.Count) []byte {
	buffer = binary.BigEndian.AppendUint64(buffer, count.Packets)
	return binary.BigEndian.AppendUint64(buffer, count.Bytes)
}

func decodeCount(value []byte) accounting.Count {
	return accounting.Count{
		Packets: binary.BigEndian.Uint64(value),
		Bytes:   binary.BigEndian.Uint64(value[8:]),
	}
}

// checksum is the number and the sum of the hashes of a set of rows. Rows come
// and go in any order.
type checksum struct {
	rows, sum uint64
	buffer    []byte
}

func (c *checksum) add(bucket string, key, value []byte) {
	c.rows++
	c.sum += c.hash(bucket, key, value)
}

func (c *checksum) remove(bucket string, key, value []byte) {
	c.rows--
	c.sum -= c.hash(bucket, key, value)
}

func (c *checksum) hash(bucket string, key, value []byte) uint64 {
	c.buffer = append(c.buffer[:0], byte(len(bucket)))
	c.buffer = append(c.buffer, bucket...)
	c.buffer = binary.BigEndian.AppendUint16(c.buffer, uint16(len(key)))
	c.buffer = append(c.buffer, key...)
	c.buffer = append(c.buffer, value...)
	return shortHash(c.buffer)
}

func shortHash(content []byte) uint64 {
	hash := sha256.Sum256(content)
	return binary.BigEndian.Uint64(hash[:])
}
