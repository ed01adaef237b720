package nft

import (
	"errors"
	"fmt"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"ssmonitor/internal/netlink"
)

// TestRefusalsAreExplained has the answers of kernels that this one is not: without
// nf_tables, of before named counters, without a module.
func TestRefusalsAreExplained(t *testing.T) {
	for _, test := range []struct {
		typ   uint16
		errno syscall.Errno
		want  error
	}{
		{msgBatchBegin, unix.EOPNOTSUPP, ErrNoNFTables},
		{msgNewTable, unix.EOPNOTSUPP, ErrOwnUnsupported},
		{msgNewObject, unix.EINVAL, errTooOld},
		{msgNewSet, unix.EOPNOTSUPP, errTooOld},
		{msgNewChain, unix.EAFNOSUPPORT, errTooOld},
		{msgNewRule, unix.EOPNOTSUPP, errTooOld},
		{msgDelTable, unix.EINVAL, nil},
		{msgNewObject, unix.ENOENT, nil}, // others may have deleted the table
		{msgNewObject, unix.EEXIST, nil},
		{msgNewTable, unix.EACCES, ErrPermission},
	} {
		header := make(netlink.Message, unix.SizeofNlMsghdr+4)
		header[4], header[5] = byte(test.typ), byte(test.typ>>8)
		refused := newOpError(header, test.errno)
		if !errors.Is(refused, test.errno) || test.want == nil && refused.Reason != nil || test.want != nil && !errors.Is(refused, test.want) {
			t.Errorf("message %#x, %v: got %v, want %v", test.typ, test.errno, refused, test.want)
		}
	}
}

func TestExplain(t *testing.T) {
	wrapped := func(errno syscall.Errno, reason error) error {
		return fmt.Errorf("counting: %w", &OpError{Op: "looking", Err: errno, Reason: reason})
	}
	for _, test := range []struct {
		err           error
		cause, remedy string
	}{
		{wrapped(unix.EPERM, ErrPermission), "CAP_NET_ADMIN is missing (operation not permitted)", ""},
		{wrapped(unix.EPERM, errNeverGranted), "CAP_NET_ADMIN is missing, and root can't have it here (operation not permitted)", "--cap-add NET_ADMIN"},
		{ErrNoNFTables, "the kernel has no nf_tables", "modprobe nf_tables"},
		{wrapped(unix.EIO, nil), "counting: looking: input/output error", ""},
	} {
		remedy, cause := Explain(test.err)
		if cause.Error() != test.cause || !strings.Contains(remedy, test.remedy) || (test.remedy == "") != (remedy == "") {
			t.Errorf("%v: got %q and %q", test.err, cause, remedy)
		}
		for _, errno := range []error{unix.EPERM, unix.EIO} {
			if errors.Is(test.err, errno) && !errors.Is(cause, errno) {
				t.Errorf("%v: the error number is lost", test.err)
			}
		}
	}
	if remedy, cause := Explain(nil); cause != nil || remedy != "" {
		t.Errorf("no error: got %v and %q", cause, remedy)
	}
}
