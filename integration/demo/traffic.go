package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"time"

	"golang.org/x/sync/errgroup"
)

// client is a person who uses a port.
type client struct {
	port  int
	name  string
	does  string // in words, for the view
	flows []flow
}

// flow is how a client uses its port.
type flow struct {
	network  string // as in package net
	up, down int    // payload in bytes per second; over UDP everything is echoed
}

var clients = []client{
	{20000, "alice", "downloads over TCP and IPv4", []flow{{"tcp4", 60_000, 2_000_000}}},
	{20001, "bob", "uploads over TCP and IPv6", []flow{{"tcp6", 300_000, 20_000}}},
	{20002, "carol", "talks over UDP, IPv4 and IPv6", []flow{{network: "udp4", up: 80_000}, {network: "udp6", up: 40_000}}},
}

// shadowsocksConfiguration returns a configuration in the format of
// shadowsocks-rust, which can name clients.
func shadowsocksConfiguration() ([]byte, error) {
	type server struct {
		Address  string `json:"address"`
		Port     int    `json:"port"`
		Method   string `json:"method"`
		Password string `json:"password"`
		Mode     string `json:"mode"`
		Remarks  string `json:"remarks"`
	}
	var configuration struct {
		Servers []server `json:"servers"`
	}
	for _, c := range clients {
		configuration.Servers = append(configuration.Servers,
			server{"::", c.port, "aes-256-gcm", "the password of " + c.name, "tcp_and_udp", c.name})
	}
	return json.MarshalIndent(configuration, "", "  ")
}

// sendTraffic runs all clients and their servers on loopback until the context is
// done, and returns the first error before that.
func sendTraffic(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	for _, client := range clients {
		for _, flow := range client.flows {
			group.Go(func() error {
				err := flow.play(ctx, client.port)
				if err == nil || ctx.Err() != nil {
					return nil // we closed the connections
				}
				return fmt.Errorf("traffic of %s by %s: %w", client.name, flow.network, err)
			})
		}
	}
	return group.Wait()
}

// play connects a client to a server at the port and moves bytes until the
// context is done.
func (f flow) play(ctx context.Context, port int) error {
	host := "127.0.0.1"
	if f.network[3] == '6' {
		host = "::1"
	}
	address := net.JoinHostPort(host, fmt.Sprint(port))
	group, ctx := errgroup.WithContext(ctx)
	server, client, err := f.connect(ctx, address)
	if err != nil {
		return err
	}
	context.AfterFunc(ctx, func() {
		_ = server.Close() // ends reading and writing
		_ = client.Close()
	})
	group.Go(func() error { return pace(ctx, client, f.up) })
	group.Go(func() error { return drain(client) })
	if datagrams, ok := server.(net.PacketConn); ok {
		group.Go(func() error { return echo(datagrams) })
	} else {
		group.Go(func() error { return pace(ctx, server, f.down) })
		group.Go(func() error { return drain(server) })
	}
	return group.Wait()
}

// connect returns both ends of a connection. The server's end of UDP is a
// net.PacketConn.
func (f flow) connect(ctx context.Context, address string) (server io.ReadWriteCloser, client net.Conn, err error) {
	var listen net.ListenConfig
	var dial net.Dialer
	if f.network[:3] == "udp" {
		socket, err := listen.ListenPacket(ctx, f.network, address)
		if err != nil {
			return nil, nil, err
		}
		client, err = dial.DialContext(ctx, f.network, address)
		return socket.(*net.UDPConn), client, err
	}
	listener, err := listen.Listen(ctx, f.network, address)
	if err != nil {
		return nil, nil, err
	}
	defer func() { _ = listener.Close() }()
	if client, err = dial.DialContext(ctx, f.network, address); err != nil {
		return nil, nil, err
	}
	server, err = listener.Accept()
	return server, client, err
}

// pace writes that many bytes per second until the context is done.
func pace(ctx context.Context, to io.Writer, perSecond int) error {
	const beat = 20 * time.Millisecond
	ticks := time.NewTicker(beat)
	defer ticks.Stop()
	chunk := make([]byte, perSecond*int(beat)/int(time.Second))
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticks.C:
			if _, err := to.Write(chunk); err != nil {
				return err
			}
		}
	}
}

func drain(from io.Reader) error {
	_, err := io.Copy(io.Discard, from)
	return err
}

// echo sends each datagram back.
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
