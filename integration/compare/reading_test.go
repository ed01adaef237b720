package compare_test

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"testing"
	"time"

	"github.com/google/nftables"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"ssmonitor/accounting"
	"ssmonitor/internal/testkit"
	"ssmonitor/nft"
)

const python = "/usr/bin/python3"

// How many readings are measured together.
const (
	mostReadings = 200
	readingTime  = 200 * time.Millisecond // no reading begins later
	slowReading  = time.Second            // the first reading is enough
)

// script reads with script.py, which measures itself.
func script(reader string) func(*testing.T, int, time.Duration) (figures, error) {
	return func(_ *testing.T, _ int, limit time.Duration) (figures, error) {
		return runScript(limit, reader, "read", strconv.Itoa(mostReadings), fmt.Sprint(readingTime.Seconds()))
	}
}

func runScript(limit time.Duration, arguments ...string) (got figures, err error) {
	return runReader(limit, append([]string{python, "script.py"}, arguments...)...)
}

// runReader runs a program that measures its readings and prints figures.
func runReader(limit time.Duration, words ...string) (got figures, err error) {
	output, err := run(limit, "", words...)
	if err == nil {
		err = json.NewDecoder(bytes.NewReader(output)).Decode(&got)
	}
	return got, err
}

// measureReadings measures the processor time of this process. The first reading
// does not count, unless it takes so long that one is enough.
func measureReadings(t *testing.T, read func() error) (figures, error) {
	t.Helper()
	defer pin(t)()
	began, spent, readings := time.Now(), testkit.ProcessorTime(t, os.Getpid()), 1
	err := read()
	if time.Since(began) < slowReading {
		began, spent, readings = time.Now(), testkit.ProcessorTime(t, os.Getpid()), 0
		for ; err == nil && readings < mostReadings && time.Since(began) < readingTime; readings++ {
			err = read()
		}
	}
	return figures{Nanoseconds: float64(testkit.ProcessorTime(t, os.Getpid())-spent) / float64(readings)}, err
}

func readTable(t *testing.T, _ int, _ time.Duration) (figures, error) {
	table := openTable(t)
	var sample accounting.Sample
	if err := table.Read(&sample); err != nil { // as the agent, later readings know what exists
		return figures{}, err
	}
	got, err := measureReadings(t, func() error { return table.Read(&sample) })
	for _, r := range sample.Readings {
		got.Packets += int(r.Count.Packets)
	}
	got.Ports = len(sample.Readings) / 4
	return got, err
}

// readLibrary reads in a process of its own, since GetObjects can't be interrupted.
func readLibrary(_ *testing.T, _ int, limit time.Duration) (figures, error) {
	return runReader(limit, "/proc/self/exe", "-test.run=^TestLibraryReader$", "-library-reader")
}

// TestLibraryReader is that process.
func TestLibraryReader(t *testing.T) {
	if !*libraryReader {
		t.Skip("TestCompare runs it")
	}
	runtime.LockOSThread()
	conn, err := nftables.New(nftables.AsLasting())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.CloseLasting() }()
	var objects []nftables.Obj
	got, err := measureReadings(t, func() (err error) {
		objects, err = conn.GetObjects(&nftables.Table{Family: nftables.TableFamilyINet, Name: nft.TableName})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	got.Ports = len(objects) / 4
	if err := json.NewEncoder(os.Stdout).Encode(got); err != nil {
		t.Fatal(err)
	}
}

// readBare requests the same dump as ssmonitor and walks over its messages,
// without decoding or checking them: the least that a reading can cost.
func readBare(t *testing.T, _ int, _ time.Duration) (figures, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_NETFILTER)
	if err != nil {
		return figures{}, err
	}
	defer func() { _ = unix.Close(fd) }()
	request, err := counterRequest()
	if err != nil {
		return figures{}, err
	}
	buffer, counters := make([]byte, 64<<10), 0
	got, err := measureReadings(t, func() (err error) {
		if _, err := unix.Write(fd, request); err != nil {
			return err
		}
		counters, err = walk(fd, buffer)
		return err
	})
	got.Ports = counters / 4
	return got, err
}

// counterRequest is NFT_MSG_GETOBJ for the counters of ssmonitor's table.
func counterRequest() ([]byte, error) {
	attributes := netlink.NewAttributeEncoder()
	attributes.ByteOrder = binary.BigEndian
	attributes.String(unix.NFTA_OBJ_TABLE, nft.TableName)
	attributes.Uint32(unix.NFTA_OBJ_TYPE, unix.NFT_OBJECT_COUNTER)
	encoded, err := attributes.Encode()
	if err != nil {
		return nil, err
	}
	message := netlink.Message{
		Header: netlink.Header{
			Type:  unix.NFNL_SUBSYS_NFTABLES<<8 | unix.NFT_MSG_GETOBJ,
			Flags: netlink.Request | netlink.Dump,
		},
		Data: append([]byte{unix.NFPROTO_INET, unix.NFNETLINK_V0, 0, 0}, encoded...),
	}
	message.Header.Length = uint32(unix.NLMSG_HDRLEN + len(message.Data))
	return message.MarshalBinary()
}

// walk returns the number of messages in a dump.
func walk(fd int, buffer []byte) (messages int, err error) {
	for {
		n, err := unix.Read(fd, buffer)
		if err != nil {
			return messages, err
		}
		for at := 0; at < n; {
			switch kind := binary.NativeEndian.Uint16(buffer[at+4:]); kind {
			case unix.NLMSG_DONE:
				return messages, nil
			case unix.NLMSG_ERROR:
				return messages, errors.New("the dump ends with an error")
			}
			messages++
			length := int(binary.NativeEndian.Uint32(buffer[at:]))
			at += (length + unix.NLMSG_ALIGNTO - 1) &^ (unix.NLMSG_ALIGNTO - 1)
		}
	}
}
