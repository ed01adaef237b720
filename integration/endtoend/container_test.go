package endtoend_test

import (
	"fmt"
	"testing"
)

// TestHookOfContainers counts a port that the server translates to a container's, as
// container engines do, and nothing that the container has with a remote port of the
// same number.
func TestHookOfContainers(t *testing.T) {
	require(t, "curl", "ss")
	t.Parallel()
	h := newHost(t)
	h.publish(t)
	h.setup(t, "--hook", "container", "--port", fmt.Sprint(publishedPort))
	h.container.serve(t, containerPort)
	h.transmit(t, serverIPv4, publishedPort, publishedPort)
	clients := h.carries(t, publishedPort)

	h.elsewhere.serve(t, publishedPort)
	remote := fmt.Sprintf("%s:%d", elsewhereIPv4, publishedPort)
	h.container.curl(t, fmt.Sprintf("http://%s/%d", remote, megabyte))
	h.container.exchange(t, remote, 10, 1000)
	if counted := h.counted(t, publishedPort); counted != clients {
		t.Errorf("counted %+v, of which only %+v are the clients'", counted, clients)
	}
}
