package store

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"time"

	"go.etcd.io/bbolt"

	"ssmonitor/accounting"
)

// foreignLockTimeout is how long another program that looks into a file, such
// as bbolt's own, may hold a save up.
const foreignLockTimeout = 200 * time.Millisecond

// database is a file that is open for saves. It is only opened on what
// [verify] has passed, or on a new file.
type database struct {
	bolt   *bbolt.DB
	file   *os.File // bolt's, to close where bolt can't be trusted to
	buffer []byte
	sum    checksum
}

// errPanicked marks an error that was a panic or a memory fault in bbolt: the
// database's own locks may still be held.
var errPanicked = errors.New("bbolt panicked")

func openDatabase(path string) (*database, error) {
	opened := new(database)
	options := &bbolt.Options{
		Timeout:        foreignLockTimeout,
		NoFreelistSync: true, // the free pages follow from the tree, which was verified
		FreelistType:   bbolt.FreelistMapType,
		PageSize:       pageSize,
		NoStatistics:   true,
		OpenFile: func(path string, flag int, _ os.FileMode) (file *os.File, err error) {
			opened.file, err = openRegular(path, flag&^os.O_CREATE)
			return opened.file, err
		},
	}
	err := guard(func() (err error) {
		opened.bolt, err = bbolt.Open(path, 0, options)
		return err
	})
	if err != nil {
		if opened.file != nil {
			_ = opened.file.Close()
		}
		return nil, fmt.Errorf("opening %s: %w", path, err)
	}
	return opened, nil
}

// guard turns a panic into an error, and a fault on mapped memory too, which
// is what an unreadable sector or a file cut short by others looks like.
func guard(action func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if cause := recover(); cause != nil {
			err = fmt.Errorf("%w: %v", errPanicked, cause)
		}
	}()
	return action()
}

// commit makes one transaction of the accounts and the totals of changed. Of
// an error the caller has to assume that it happened after the commit as well
// as before.
func (d *database) commit(sequence uint64, changed accounting.State) error {
	return guard(func() error {
		tx, err := d.bolt.Begin(true)
		if err != nil {
			return err
		}
		defer func() { _ = tx.Rollback() }() // does nothing after a commit
		if err := d.write(tx, sequence, changed); err != nil {
			return err
		}
		return tx.Commit()
	})
}

func (d *database) write(tx *bbolt.Tx, sequence uint64, changed accounting.State) error {
	ledger, err := tx.CreateBucketIfNotExists([]byte(ledgerBucket))
	if err != nil {
		return err
	}
	if err := d.loadChecksum(ledger); err != nil {
		return err
	}
	if err := d.writeTotals(tx, changed); err != nil {
		return err
	}
	if err := d.writeAccounts(tx, changed.Accounts); err != nil {
		return err
	}
	h := header{version: formatVersion, sequence: sequence, rows: d.sum.rows, sum: d.sum.sum}
	return ledger.Put([]byte(headerKey), h.encode())
}

func (d *database) loadChecksum(ledger *bbolt.Bucket) error {
	d.sum.rows, d.sum.sum = 0, 0
	value := ledger.Get([]byte(headerKey))
	if value == nil {
		return nil
	}
	h, err := decodeHeader(value)
	if err != nil {
		return err
	}
	d.sum.rows, d.sum.sum = h.rows, h.sum
	return nil
}

func (d *database) writeTotals(tx *bbolt.Tx, changed accounting.State) error {
	totals, err := tx.CreateBucketIfNotExists([]byte(totalsBucket))
	if err != nil {
		return err
	}
	return d.put(totals, totalsBucket, []byte(totalsKey), appendTotals(nil, changed.In, changed.Out))
}

func (d *database) writeAccounts(tx *bbolt.Tx, changed []accounting.Account) error {
	accounts, err := tx.CreateBucketIfNotExists([]byte(accountsBucket))
	if err != nil {
		return err
	}
	// bbolt refers to the values until the commit: the buffer must not move.
	if need := len(changed) * accountLength; cap(d.buffer) < need {
		d.buffer = make([]byte, 0, need)
	}
	values := d.buffer[:0]
	var key [keyLength]byte
	for i := range changed {
		start := len(values)
		values = appendAccount(values, &changed[i])
		if err := d.put(accounts, accountsBucket, appendKey(key[:0], changed[i].Key), values[start:]); err != nil {
			return fmt.Errorf("account %s: %w", changed[i].Key, err)
		}
	}
	return nil
}

// put writes a row and keeps up the checksum over all of them. The value must
// stay as it is until the commit.
func (d *database) put(bucket *bbolt.Bucket, name string, key, value []byte) error {
	old := bucket.Get(key)
	if old != nil && bytes.Equal(old, value) {
		return nil
	}
	if old != nil {
		d.sum.remove(name, key, old)
	}
	d.sum.add(name, key, value)
	return bucket.Put(key, value)
}

func (d *database) close() error {
	return guard(d.bolt.Close)
}

// abandon closes what a commit failed on.
func (d *database) abandon(cause error) {
	if !errors.Is(cause, errPanicked) {
		_ = d.close()
		return
	}
	// Closing would wait for bbolt's own lock. The mapping stays behind, the
	// file is free for others.
	_ = d.file.Close()
}
