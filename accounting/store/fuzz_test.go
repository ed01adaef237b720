package store

import (
	"bytes"
	"encoding/binary"
	"testing"
)

// sign writes a checksum behind the data it is of.
func sign(data []byte, sum [2]uint32) {
	binary.BigEndian.PutUint32(data, sum[0])
	binary.BigEndian.PutUint32(data[4:], sum[1])
}

// logOf returns a log with frames of zeros, as SQLite writes it.
func logOf(count int, magic, pageSize uint32) []byte {
	log := make([]byte, logHeaderSize)
	binary.BigEndian.PutUint32(log, magic)
	binary.BigEndian.PutUint32(log[8:], pageSize)
	copy(log[16:], "the salt")
	order := orderOf([logHeaderSize]byte(log))
	sum := checksum([2]uint32{}, order, log[:24])
	sign(log[24:], sum)
	for range count {
		frame := make([]byte, frameHeaderSize+pageSize)
		copy(frame[8:], "the salt")
		sum = checksum(checksum(sum, order, frame[:8]), order, frame[frameHeaderSize:])
		sign(frame[16:], sum)
		log = append(log, frame...)
	}
	return log
}

// FuzzFrames counts the frames of a log that anyone may have written.
func FuzzFrames(f *testing.F) {
	const little, big = 0x377f0682, 0x377f0683
	for count, log := range [][]byte{logOf(0, little, 512), logOf(1, big, 512), logOf(2, little, 0), logOf(3, little, 512)} {
		if got := frames(bytes.NewReader(log), [logHeaderSize]byte(log)); got != uint32(count) {
			f.Fatalf("got %d frames, want %d", got, count)
		}
		f.Add(log)
	}
	f.Fuzz(func(t *testing.T, log []byte) {
		var header [logHeaderSize]byte
		copy(header[:], log)
		if order := orderOf(header); order != nil { // else no input gets past the checksum
			sign(header[24:], checksum([2]uint32{}, order, header[:24]))
		}
		if !validLog(header) {
			return
		}
		if count := frames(bytes.NewReader(log), header); int64(count)*frameHeaderSize > int64(len(log)) {
			t.Fatalf("%d frames in %d bytes", count, len(log))
		}
	})
}
