package store

import (
	"encoding/binary"
	"io"
	"os"

	"ssmonitor/internal/sqlitefile"
)

// The format of the log is that of sqlite.org/fileformat2.html#walformat: a header,
// and a frame for each page that was written. Each has a checksum of all before it.
const (
	logHeaderSize   = 32
	frameHeaderSize = 24
)

// checksum adds data, which consists of pairs of words, to a checksum.
func checksum(sum [2]uint32, order binary.ByteOrder, data []byte) [2]uint32 {
	for ; len(data) >= 8; data = data[8:] {
		sum[0] += order.Uint32(data) + sum[1]
		sum[1] += order.Uint32(data[4:]) + sum[0]
	}
	return sum
}

// sumAt returns the checksum that is written in a header.
func sumAt(data []byte) [2]uint32 {
	return [2]uint32{binary.BigEndian.Uint32(data), binary.BigEndian.Uint32(data[4:])}
}

// orderOf returns the order of the bytes in the words of a log's checksums, or nil if
// there is no log.
func orderOf(header [logHeaderSize]byte) binary.ByteOrder {
	const magic = 0x377f0682
	switch binary.BigEndian.Uint32(header[:]) {
	case magic:
		return binary.LittleEndian
	case magic | 1:
		return binary.BigEndian
	}
	return nil
}

// validLog reports whether a log's header is one that SQLite has written.
func validLog(header [logHeaderSize]byte) bool {
	order := orderOf(header)
	return order != nil && checksum([2]uint32{}, order, header[:24]) == sumAt(header[24:])
}

// frames returns how many frames a log has until the first one that SQLite has not
// written, or not to this log. What follows is lost when SQLite opens it.
func frames(log io.ReaderAt, header [logHeaderSize]byte) (count uint32) {
	order, sum := orderOf(header), sumAt(header[24:])
	frame := make([]byte, frameHeaderSize+min(binary.BigEndian.Uint32(header[8:]), 1<<16))
	for at := int64(logHeaderSize); ; at += int64(len(frame)) {
		if _, err := log.ReadAt(frame, at); err != nil {
			return count
		}
		sum = checksum(checksum(sum, order, frame[:8]), order, frame[frameHeaderSize:])
		if [8]byte(frame[8:]) != [8]byte(header[16:]) || sum != sumAt(frame[16:]) {
			return count
		}
		count++
	}
}

// wholeLog reports whether SQLite would find in the log all that it has written
// there: its index has the number of frames.
func (db *database) wholeLog() bool {
	index, err := db.readIndex()
	if err != nil {
		return true // that is not known
	}
	var header [logHeaderSize]byte
	if _, err := db.handles[logFile].ReadAt(header[:], 0); err != nil || !validLog(header) {
		return false
	}
	return frames(db.handles[logFile], header) >= binary.NativeEndian.Uint32(index[16:])
}

// readIndex reads the beginning of the log's index.
func (db *database) readIndex() (index [20]byte, err error) {
	file, err := sqlitefile.OpenRegular(db.names[indexFile], os.O_RDONLY)
	if err != nil {
		return index, err
	}
	defer func() { _ = file.Close() }()
	_, err = file.ReadAt(index[:], 0)
	return index, err
}
