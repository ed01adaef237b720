package store

import (
	"bytes"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ssmonitor/accounting"
)

var update = flag.Bool("update", false, "write the golden files anew")

func someAccount() accounting.Account {
	return accounting.Account{
		Key:    accounting.Key{Port: 20000, Protocol: accounting.UDP, Direction: accounting.Out},
		Total:  accounting.Count{Packets: 0x0102030405060708, Bytes: 0x1112131415161718},
		Last:   accounting.Count{Packets: 0x2122232425262728, Bytes: 0x3132333435363738},
		Epoch:  accounting.Epoch{0x40, 0x41, 0x42, 0x43, 0x44, 0x45, 0x46, 0x47, 0x48, 0x49, 0x4a, 0x4b, 0x4c, 0x4d, 0x4e, 0x4f},
		Handle: 0x5152535455565758,
	}
}

// TestFormat keeps the layout of rows from changing by accident: files out
// there are in it.
func TestFormat(t *testing.T) {
	account := someAccount()
	var sum checksum
	sum.add(accountsBucket, appendKey(nil, account.Key), appendAccount(nil, &account))
	rows := []struct {
		name  string
		value []byte
	}{
		{"account key", appendKey(nil, account.Key)},
		{"account", appendAccount(nil, &account)},
		{"totals", appendTotals(nil, accounting.Count{Packets: 1, Bytes: 2}, accounting.Count{Packets: 3, Bytes: 4})},
		{"header", header{version: formatVersion, sequence: 5, rows: sum.rows, sum: sum.sum}.encode()},
	}
	var got bytes.Buffer
	for _, row := range rows {
		fmt.Fprintf(&got, "%s\n%s", row.name, hex.Dump(row.value))
	}
	golden := filepath.Join("testdata", "rows.golden")
	if *update {
		if err := os.WriteFile(golden, got.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if difference := cmp.Diff(string(readAll(t, golden)), got.String()); difference != "" {
		t.Errorf("(-want +got):\n%s", difference)
	}
}

func TestRowsThatAreNone(t *testing.T) {
	account := someAccount()
	key, value := appendKey(nil, account.Key), appendAccount(nil, &account)
	if _, err := decodeAccount(key[:3], value); !errors.Is(err, ErrDamaged) {
		t.Errorf("short key: %v", err)
	}
	if _, err := decodeAccount(key, append(value, 0)); !errors.Is(err, ErrDamaged) {
		t.Errorf("long value: %v", err)
	}
	if _, err := decodeAccount([]byte{1, 2, 6, 2}, value); !errors.Is(err, ErrDamaged) {
		t.Errorf("direction 2: %v", err)
	}
	if _, _, err := decodeTotals(value); !errors.Is(err, ErrDamaged) {
		t.Errorf("totals of an account's length: %v", err)
	}
	good := header{version: formatVersion, sequence: 9}.encode()
	for i := range good {
		bad := bytes.Clone(good)
		bad[i] ^= 0x10
		if _, err := decodeHeader(bad); !errors.Is(err, ErrDamaged) {
			t.Errorf("header with byte %d changed: %v", i, err)
		}
	}
	if _, err := decodeHeader(header{version: 0}.encode()); !errors.Is(err, ErrDamaged) {
		t.Errorf("version 0: %v", err)
	}
	if _, err := decodeHeader(good[:5]); !errors.Is(err, ErrDamaged) {
		t.Errorf("short header: %v", err)
	}
}

func FuzzDecodeAccount(f *testing.F) {
	account := someAccount()
	f.Add(appendKey(nil, account.Key), appendAccount(nil, &account))
	f.Add([]byte{}, []byte{})
	f.Fuzz(func(t *testing.T, key, value []byte) {
		account, err := decodeAccount(key, value)
		if err != nil {
			if !errors.Is(err, ErrDamaged) {
				t.Errorf("error %v", err)
			}
			return
		}
		if !bytes.Equal(appendKey(nil, account.Key), key) || !bytes.Equal(appendAccount(nil, &account), value) {
			t.Errorf("%x %x is another row when encoded again", key, value)
		}
	})
}

func FuzzDecodeHeader(f *testing.F) {
	f.Add(header{version: formatVersion, sequence: 1, rows: 2, sum: 3}.encode())
	f.Add(header{version: 2}.encode())
	f.Fuzz(func(t *testing.T, value []byte) {
		h, err := decodeHeader(value)
		if err == nil && h.version <= formatVersion && !bytes.Equal(h.encode(), value) {
			t.Errorf("%x is another header when encoded again", value)
		}
	})
}

func TestMerge(t *testing.T) {
	account := func(port uint16, total uint64) accounting.Account {
		return accounting.Account{Key: accounting.Key{Port: port, Protocol: accounting.TCP}, Total: accounting.Count{Bytes: total}}
	}
	tests := map[string]struct{ older, newer, want []accounting.Account }{
		"nothing":              {},
		"older alone":          {older: []accounting.Account{account(1, 1)}, want: []accounting.Account{account(1, 1)}},
		"newer alone":          {newer: []accounting.Account{account(1, 1)}, want: []accounting.Account{account(1, 1)}},
		"the newer one counts": {[]accounting.Account{account(1, 1), account(2, 1)}, []accounting.Account{account(2, 2), account(3, 2)}, []accounting.Account{account(1, 1), account(2, 2), account(3, 2)}},
		"twice in one list":    {newer: []accounting.Account{account(1, 1), account(1, 2)}, want: []accounting.Account{account(1, 2)}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if difference := cmp.Diff(test.want, merge(nil, test.older, test.newer)); difference != "" {
				t.Error(difference)
			}
		})
	}
}
