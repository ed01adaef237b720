package paths

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// patience is how long a test waits for what should happen soon. Emulation is slow.
const patience = 20 * time.Second

// echo answers TCP and UDP at countedPort of all addresses of the namespace until
// the end of the test. The sockets are bound to the device, if one is named.
func (n namespace) echo(t *testing.T, device string) {
	t.Helper()
	n.do(t, func() error {
		for _, family := range []string{"4", "6"} {
			config := net.ListenConfig{Control: socketOptions(family, device)}
			address := fmt.Sprintf(":%d", countedPort)
			listener, err := config.Listen(context.Background(), "tcp"+family, address)
			if err != nil {
				return err
			}
			t.Cleanup(func() { _ = listener.Close() })
			go echoConnections(listener)
			packets, err := config.ListenPacket(context.Background(), "udp"+family, address)
			if err != nil {
				return err
			}
			t.Cleanup(func() { _ = packets.Close() })
			go echoDatagrams(packets.(*net.UDPConn))
		}
		return nil
	})
}

// socketOptions binds a socket to a device and asks for the address and the
// device of each datagram.
func socketOptions(family, device string) func(network, address string, c syscall.RawConn) error {
	return func(_, _ string, c syscall.RawConn) error {
		var err error
		control := c.Control(func(fd uintptr) {
			if device != "" {
				err = unix.BindToDevice(int(fd), device)
			}
			if family == "4" {
				err = errors.Join(err, unix.SetsockoptInt(int(fd), unix.SOL_IP, unix.IP_PKTINFO, 1))
			} else {
				err = errors.Join(err, unix.SetsockoptInt(int(fd), unix.SOL_IPV6, unix.IPV6_RECVPKTINFO, 1))
			}
		})
		return errors.Join(control, err)
	}
}

func echoConnections(listener net.Listener) {
	for {
		connection, err := listener.Accept()
		if err != nil {
			return // closed
		}
		go func() {
			_, _ = io.Copy(connection, connection)
			_ = connection.Close()
		}()
	}
}

// echoDatagrams answers from the address that the client sent to: what the
// kernel reported with the datagram is also what selects the sender of an answer.
func echoDatagrams(packets *net.UDPConn) {
	datagram, control := make([]byte, 65536), make([]byte, 256)
	for {
		size, controlSize, _, client, err := packets.ReadMsgUDP(datagram, control)
		if err != nil {
			return // closed
		}
		_, _, _ = packets.WriteMsgUDP(datagram[:size], control[:controlSize], client)
	}
}

// transfer sends bytes to a server that echoes and reads them back.
type transfer struct {
	protocol string // tcp or udp
	address  string
	port     int
	datagram int // size of a datagram's payload
}

func (x transfer) String() string {
	return x.protocol + " " + net.JoinHostPort(x.address, fmt.Sprint(x.port))
}

const (
	streamSize    = 200_000
	datagramSize  = 1000
	datagramCount = 30
)

// from does the transfer from a client's namespace.
func (x transfer) from(t *testing.T, n namespace) {
	t.Helper()
	var connection net.Conn
	n.do(t, func() (err error) {
		dialer := net.Dialer{Timeout: patience}
		connection, err = dialer.Dial(x.protocol, net.JoinHostPort(x.address, fmt.Sprint(x.port)))
		return err
	})
	defer func() { _ = connection.Close() }()
	if err := connection.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	var err error
	if x.protocol == "udp" {
		err = echoEach(connection, x.datagram)
	} else {
		err = echoStream(connection)
	}
	if err != nil {
		t.Fatalf("%s: %v", x, err)
	}
}

func echoStream(connection net.Conn) error {
	sent := make(chan error)
	go func() {
		_, err := connection.Write(make([]byte, streamSize))
		sent <- errors.Join(err, connection.(*net.TCPConn).CloseWrite())
	}()
	size, err := io.Copy(io.Discard, connection)
	if err = errors.Join(err, <-sent); err == nil && size != streamSize {
		err = fmt.Errorf("%d of %d bytes came back", size, streamSize)
	}
	return err
}

func echoEach(connection net.Conn, size int) error {
	datagram := make([]byte, size)
	for i := range datagramCount {
		if _, err := connection.Write(datagram); err != nil {
			return err
		}
		if _, err := connection.Read(datagram); err != nil {
			return fmt.Errorf("datagram %d: %w", i, err)
		}
	}
	return nil
}
