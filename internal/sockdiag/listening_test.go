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

// TestListeningSocketsNameTheirFiles compares with what /proc says of the socket itself.
func TestListeningSocketsNameTheirFiles(t *testing.T) {
	testkit.NetworkNamespace(t)
	listener, err := net.Listen("tcp4", "127.0.0.1:1001")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	found, err := ListeningSockets(accounting.TCPAndUDP)
	if err != nil || len(found) != 1 || found[0].Port != 1001 || found[0].Inode != inodeOfSocket(t, listener.(*net.TCPListener)) {
		t.Errorf("got %+v, %v", found, err)
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
