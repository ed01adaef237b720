package store

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"io"
	"io/fs"
	"os"
)

// mark is how the files of an open database were when the store last looked.
// Others may change them in place, which SQLite does not notice: it keeps pages
// and the log's index in memory.
type mark struct {
	sizes  [3]int64  // of the database, its log and the log's index
	header [100]byte // of the database, which only a checkpoint changes
	log    [32]byte  // the header of the log
}

// change is what others have done to the files of an open database.
type change byte

const (
	intact       change = iota
	moved               // a file was removed or replaced
	indexCut            // the log's index was truncated
	logLost             // the log was truncated or overwritten
	databaseLost        // so was the database
)

// look compares the files with the mark, and sets the mark if they are intact.
// checkpointed reports whether the store itself may have changed the database's
// header.
func (db *database) look(checkpointed bool) change {
	now, missing := db.read()
	if missing {
		return moved
	}
	was := &db.mark
	switch {
	case now.sizes[0] < was.sizes[0], !checkpointed && now.header != was.header, !bytes.HasPrefix(now.header[:], []byte("SQLite format 3\x00")):
		return databaseLost
	case now.sizes[1] == 0 && was.sizes[1] == 0: // nothing was written to it yet
	case now.log == was.log && now.sizes[1] < was.sizes[1], !validLog(now.log):
		return logLost
	}
	if now.sizes[2] < was.sizes[2] {
		return indexCut
	}
	db.mark = now
	return intact
}

// read reads what a mark consists of. missing reports whether a file was removed
// or replaced since the database was opened.
func (db *database) read() (now mark, missing bool) {
	for i, name := range siblings(db.path) {
		there, err := os.Lstat(name)
		if errors.Is(err, fs.ErrNotExist) || (err == nil && !os.SameFile(there, db.files[i])) {
			return now, true
		}
		if err == nil {
			now.sizes[i] = there.Size()
		}
	}
	// What can't be read is zero, which is not intact.
	_, _ = io.ReadFull(io.NewSectionReader(db.handles[0], 0, int64(len(now.header))), now.header[:])
	_, _ = io.ReadFull(io.NewSectionReader(db.handles[1], 0, int64(len(now.log))), now.log[:])
	return now, false
}

// validLog reports whether a log's header is one that SQLite has written: see
// sqlite.org/fileformat2.html#walformat.
func validLog(header [32]byte) bool {
	const magic = 0x377f0682
	order := binary.ByteOrder(binary.LittleEndian)
	switch binary.BigEndian.Uint32(header[:]) {
	case magic:
	case magic | 1:
		order = binary.BigEndian
	default:
		return false
	}
	var first, second uint32
	for at := 0; at < 24; at += 8 {
		first += order.Uint32(header[at:]) + second
		second += order.Uint32(header[at+4:]) + first
	}
	return binary.BigEndian.Uint32(header[24:]) == first && binary.BigEndian.Uint32(header[28:]) == second
}

// begin opens the files to look at and sets the first mark.
func (db *database) begin() (err error) {
	for i, name := range siblings(db.path) {
		if db.files[i], err = os.Lstat(name); err != nil {
			return err
		}
		if i < len(db.handles) {
			if db.handles[i], err = openRegular(name, os.O_RDONLY); err != nil {
				return err
			}
		}
	}
	db.mark, _ = db.read()
	return nil
}

// renewIndex empties the index and gives it its size again, so that its pages exist
// and closing the database reads nothing else from them.
func (db *database) renewIndex() error {
	path := db.path + "-shm"
	return cmp.Or(os.Truncate(path, 0), os.Truncate(path, db.mark.sizes[2]))
}
