package endtoend_test

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// The roles that the test binary can play inside a namespace.
const (
	roleServe    = "serve"
	roleExchange = "exchange"
	roleSend     = "send"
)

// play is the main function of a role. It returns the exit status.
func play(role string, arguments []string) int {
	roles := map[string]func([]string) error{
		roleServe:    playServe,
		roleExchange: playExchange,
		roleSend:     playSend,
		topRole:      playTop,
	}
	act, known := roles[role]
	if !known {
		fmt.Fprintf(os.Stderr, "there is no role %q\n", role)
		return 2
	}
	if err := act(arguments); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// startRole starts a copy of the test binary in the namespace.
func (n namespace) startRole(t *testing.T, role string, arguments ...string) *program {
	t.Helper()
	return start(t, n.roleCommand(role, arguments...))
}

func (n namespace) roleCommand(role string, arguments ...string) *exec.Cmd {
	command := n.command(testBinary(), arguments...)
	command.Env = append(os.Environ(), roleToPlay+"="+role)
	return command
}

// runRole runs a role, which must succeed, and returns the number that it prints.
func (n namespace) runRole(t *testing.T, role string, arguments ...string) int {
	t.Helper()
	return begin(t, n.roleCommand(role, arguments...)).number(t)
}

// number waits for the end of a role that prints one number, and returns it.
func (p *program) number(t *testing.T) int {
	t.Helper()
	if status := p.wait(t); status != 0 {
		t.Fatalf("%s ended with status %d\n%s", p, status, &p.stderr)
	}
	number, err := strconv.Atoi(strings.TrimSpace(p.stdout.String()))
	if err != nil {
		t.Fatalf("%s: %v", p, err)
	}
	return number
}

// serve answers HTTP and echoes UDP at a port of all addresses of the namespace.
func (n namespace) serve(t *testing.T, port int) {
	t.Helper()
	n.startRole(t, roleServe, strconv.Itoa(port))
	n.waitListening(t, port, "tcp", "udp")
}

// playServe answers GET /N with N bytes, takes any PUT, and sends each
// datagram back.
func playServe(arguments []string) error {
	address := ":" + arguments[0]
	datagrams, err := net.ListenPacket("udp", address)
	if err != nil {
		return err
	}
	failed := make(chan error)
	go func() { failed <- echo(datagrams) }()
	go func() { failed <- http.ListenAndServe(address, http.HandlerFunc(answer)) }()
	return <-failed
}

func echo(socket net.PacketConn) error {
	buffer := make([]byte, 64<<10)
	for {
		n, peer, err := socket.ReadFrom(buffer)
		if err != nil {
			return err
		}
		if _, err := socket.WriteTo(buffer[:n], peer); err != nil {
			return err
		}
	}
}

func answer(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodPut {
		_, _ = io.Copy(io.Discard, r.Body) // curl tells the test of a failure
		return
	}
	size, err := strconv.ParseInt(strings.TrimPrefix(r.URL.Path, "/"), 10, 64)
	if err != nil {
		http.Error(w, "ask for /N to get N bytes", http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Length", strconv.FormatInt(size, 10))
	_, _ = io.CopyN(w, zeros{}, size) // curl tells the test of a failure
}

type zeros struct{}

func (zeros) Read(buffer []byte) (int, error) {
	clear(buffer)
	return len(buffer), nil
}

// exchange sends datagrams to an echo server and waits for each reply.
func (n namespace) exchange(t *testing.T, to string, count, size int) {
	t.Helper()
	if answered := n.runRole(t, roleExchange, to, strconv.Itoa(count), strconv.Itoa(size)); answered != count {
		t.Fatalf("%d of %d datagrams came back from %s", answered, count, to)
	}
}

func playExchange(arguments []string) error {
	count, err := strconv.Atoi(arguments[1])
	if err != nil {
		return err
	}
	size, err := strconv.Atoi(arguments[2])
	if err != nil {
		return err
	}
	socket, err := net.Dial("udp", arguments[0])
	if err != nil {
		return err
	}
	defer func() { _ = socket.Close() }()
	answered := 0
	sent, received := make([]byte, size), make([]byte, size+1)
	for range count {
		if _, err := socket.Write(sent); err != nil {
			return err
		}
		if err := socket.SetReadDeadline(time.Now().Add(patience)); err != nil {
			return err
		}
		n, err := socket.Read(received)
		if err != nil {
			return fmt.Errorf("after %d answers: %w", answered, err)
		}
		if n == size {
			answered++
		}
	}
	fmt.Fprintln(os.Stdout, answered)
	return nil
}

// sending describes the datagrams that playSend sends without waiting for
// replies. playSend prints how many the kernel accepted.
type sending struct {
	from, to  string // address and port; from may be empty
	count     int    // at least; 0: until its stdin is closed
	perSecond int    // 0: as fast as it can
	size      int    // of the payload
}

func (s sending) arguments() []string {
	return []string{"-from", s.from, "-to", s.to, "-count", strconv.Itoa(s.count),
		"-per-second", strconv.Itoa(s.perSecond), "-size", strconv.Itoa(s.size)}
}

// send sends the datagrams and returns how many the kernel accepted.
func (n namespace) send(t *testing.T, s sending) int {
	t.Helper()
	return n.runRole(t, roleSend, s.arguments()...)
}

// sender is a program that sends until it is told to stop.
type sender struct {
	*program
	stdin io.Closer
}

// startSending sends datagrams until stop, at least the count.
func (n namespace) startSending(t *testing.T, s sending) sender {
	t.Helper()
	command := n.roleCommand(roleSend, append(s.arguments(), "-until-stdin-closes")...)
	stdin, err := command.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	return sender{start(t, command), stdin}
}

// stop ends the sending and returns how many datagrams the kernel accepted.
func (s sender) stop(t *testing.T) int {
	t.Helper()
	if err := s.stdin.Close(); err != nil {
		t.Fatal(err)
	}
	return s.number(t)
}

func playSend(arguments []string) error {
	flags := flag.NewFlagSet(roleSend, flag.ContinueOnError)
	from := flags.String("from", "", "")
	to := flags.String("to", "", "")
	count := flags.Int("count", 0, "")
	perSecond := flags.Int("per-second", 0, "")
	size := flags.Int("size", 0, "")
	untilClosed := flags.Bool("until-stdin-closes", false, "")
	if err := flags.Parse(arguments); err != nil {
		return err
	}
	peer, err := netip.ParseAddrPort(*to)
	if err != nil {
		return err
	}
	// An unconnected socket gets no ICMP errors if no process listens.
	network := "udp4"
	if peer.Addr().Is6() {
		network = "udp6"
	}
	listener, err := net.ListenPacket(network, *from)
	if err != nil {
		return err
	}
	socket := listener.(*net.UDPConn)
	stop := make(chan struct{})
	if *untilClosed {
		go func() {
			_, _ = io.Copy(io.Discard, os.Stdin)
			close(stop)
		}()
	} else {
		close(stop)
	}
	taken, err := sendDatagrams(socket, peer, make([]byte, *size), *count, *perSecond, stop)
	fmt.Fprintln(os.Stdout, taken)
	return err
}

// sendDatagrams sends until stop is closed, and at least count. Datagrams
// that the firewall refuses do not count as accepted.
func sendDatagrams(socket *net.UDPConn, to netip.AddrPort, payload []byte, count, perSecond int, stop <-chan struct{}) (taken int, err error) {
	begin := time.Now()
	for sent := 0; ; sent++ {
		if sent >= count {
			select {
			case <-stop:
				return taken, nil
			default:
			}
		}
		if perSecond > 0 {
			due := begin.Add(time.Duration(sent) * time.Second / time.Duration(perSecond))
			if early := time.Until(due); early > time.Millisecond {
				time.Sleep(early)
			}
		}
		_, err := socket.WriteToUDPAddrPort(payload, to)
		switch {
		case err == nil:
			taken++
		case !errors.Is(err, syscall.EPERM):
			return taken, err
		}
	}
}
