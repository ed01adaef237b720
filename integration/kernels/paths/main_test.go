package paths

import (
	"fmt"
	"os"
	"testing"
)

// TestMain runs the tests in a virtual machine only; see doc.go.
func TestMain(m *testing.M) {
	if os.Getenv("SSMONITOR_TEST_IN_VM") == "" {
		fmt.Println("these tests run in the virtual machines of integration/kernels")
		return
	}
	os.Exit(m.Run())
}
