package store

import (
	"errors"
	"fmt"
	"io"
	"os"

	"ssmonitor/accounting"
)

// maxTries is how often a file is read that a process writes to meanwhile. A
// process saves to one file every other save, seconds apart.
const maxTries = 10

// content is what a file holds, after all of it has been checked.
type content struct {
	header header
	state  accounting.State
}

// verify reads the whole file. It fails with ErrDamaged or a *NewerError. Other
// processes may write to the file meanwhile.
func verify(file *os.File) (content, error) {
	var found content
	var err error
	for range maxTries {
		var unchanged bool
		if found, unchanged, err = verifyOnce(file); unchanged {
			break
		}
	}
	if err != nil {
		return content{}, fmt.Errorf("%s: %w", file.Name(), err)
	}
	if version := found.header.version; version > formatVersion {
		return content{}, &NewerError{Path: file.Name(), Version: version, Supported: formatVersion}
	}
	return found, nil
}

// verifyOnce tells also whether nobody wrote to what it read: while the root
// in force is the same its pages stay as they are.
func verifyOnce(file *os.File) (found content, unchanged bool, err error) {
	before, err := readRoot(file)
	if err != nil {
		return content{}, false, err
	}
	information, err := file.Stat()
	if err != nil {
		return content{}, false, err
	}
	found, err = scan(file, information.Size(), before)
	after, afterErr := readRoot(file)
	if afterErr != nil {
		return content{}, false, afterErr
	}
	if after != before && err == nil {
		err = errors.New("it was written to while it was read")
	}
	return found, after == before, err
}

// scan reads all that belongs to the root, of a newer version the header only.
func scan(source io.ReaderAt, size int64, root root) (content, error) {
	tree, err := newTree(source, size, root)
	if err != nil {
		return content{}, err
	}
	buckets, err := tree.buckets()
	if err != nil {
		return content{}, err
	}
	var found content
	found.header, err = scanHeader(tree, buckets)
	if err != nil || found.header.version > formatVersion {
		return found, err
	}
	return found, found.scanRows(tree, buckets)
}

// scanHeader finds the header first: how the rest is to be read depends on it.
func scanHeader(tree *tree, buckets []bucket) (header, error) {
	var found header
	rows := 0
	for _, bucket := range buckets {
		if bucket.name != ledgerBucket {
			continue
		}
		err := tree.rows(bucket, func(key, value []byte) (err error) {
			if string(key) == headerKey {
				rows++
				found, err = decodeHeader(value)
			}
			return err
		})
		if err != nil {
			return header{}, err
		}
	}
	if rows != 1 {
		return header{}, damaged("it has no header")
	}
	return found, nil
}

func (c *content) scanRows(tree *tree, buckets []bucket) error {
	most := uint64(tree.root.size()) / (keyLength + uint64(accountLength))
	c.state.Accounts = make([]accounting.Account, 0, min(c.header.rows, most))
	var sum checksum
	for _, bucket := range buckets {
		if bucket.name == ledgerBucket {
			continue
		}
		err := tree.rows(bucket, func(key, value []byte) error {
			sum.add(bucket.name, key, value)
			return c.take(bucket.name, key, value)
		})
		if err != nil {
			return err
		}
	}
	if sum.rows != c.header.rows || sum.sum != c.header.sum {
		return damaged("it has %d rows with checksum %016x, expected %d with %016x",
			sum.rows, sum.sum, c.header.rows, c.header.sum)
	}
	return nil
}

// take keeps the row where its bucket is one that this version knows.
func (c *content) take(bucket string, key, value []byte) (err error) {
	switch {
	case bucket == accountsBucket:
		var account accounting.Account
		account, err = decodeAccount(key, value)
		c.state.Accounts = append(c.state.Accounts, account)
	case bucket == totalsBucket && string(key) == totalsKey:
		c.state.In, c.state.Out, err = decodeTotals(value)
	}
	return err
}

// copyTree copies the part of a file that is in use. It goes through a buffer:
// a copy by the kernel may share the very blocks that a second copy is for.
func copyTree(destination, source *os.File) error {
	root, err := readRoot(source)
	if err != nil {
		return fmt.Errorf("%s: %w", source.Name(), err)
	}
	if err := allocate(destination, root.size()); err != nil {
		return err
	}
	reader := struct{ io.Reader }{io.NewSectionReader(source, 0, root.size())}
	copied, err := io.Copy(struct{ io.Writer }{destination}, reader)
	if err != nil {
		return fmt.Errorf("copying %s: %w", source.Name(), err)
	}
	if copied != root.size() {
		return fmt.Errorf("%s: %w", source.Name(), damaged("it is %d bytes long, expected %d", copied, root.size()))
	}
	return nil
}
