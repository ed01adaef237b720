package sockdiag

import (
	"net"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"ssmonitor/accounting"
	"ssmonitor/internal/testkit"
)

// TestListeningSocketsNameThemselves compares what the kernel lists with what the sockets themselves say.
func TestListeningSocketsNameThemselves(t *testing.T) {
	testkit.NetworkNamespace(t)
	for _, address := range []string{"127.0.0.1:1001", "[::1]:1002", ":1003", "0.0.0.0:1004"} {
		listener, err := net.Listen("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = listener.Close() })
		bound := listener.Addr().(*net.TCPAddr).AddrPort()
		found, err := ListeningSockets(accounting.OnlyTCP)
		if err != nil {
			t.Fatal(err)
		}
		matches := 0
		for _, socket := range found {
			if socket.Port == bound.Port() && socket.Address == bound.Addr().Unmap() && socket.Inode == inodeOfSocket(t, listener.(*net.TCPListener)) {
				matches++
			}
		}
		if matches != 1 {
			t.Errorf("%s: %+v", address, found)
		}
	}
	found, err := ListeningSockets(accounting.OnlyUDP)
	if err != nil || len(found) != 0 {
		t.Errorf("UDP: %v, %v", found, err)
	}
}

func inodeOfSocket(t *testing.T, socket syscall.Conn) (inode uint32) {
	t.Helper()
	raw, err := socket.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	if err := raw.Control(func(fd uintptr) {
		target, _ := os.Readlink("/proc/self/fd/" + strconv.Itoa(int(fd)))
		number, _ := strconv.ParseUint(strings.Trim(target, "socket:[]"), 10, 32)
		inode = uint32(number)
	}); err != nil {
		t.Fatal(err)
	}
	return inode
}
