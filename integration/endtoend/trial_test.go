package endtoend_test

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"ssmonitor/accounting"
	"ssmonitor/nft"
)

// trial is a phase in progress: an agent, the traffic that it counts, and an
// independent view of the kernel's table.
type trial struct {
	agent
	client namespace
	stream *stream
	table  *nft.Table
	flags  []string
	lost   map[accounting.Key]accounting.Count // by the last comparison
}

// newTrial starts an agent that counts both ports, and the traffic.
func newTrial(t *testing.T, interval time.Duration) *trial {
	t.Helper()
	r := prepareTrial(t, interval)
	r.start(t)
	return r
}

// prepareTrial returns a trial without an agent, whose traffic is paused.
func prepareTrial(t *testing.T, interval time.Duration, flags ...string) *trial {
	t.Helper()
	server, client := newServerAndClient(t)
	r := &trial{
		agent:  agent{product: server},
		client: client,
		stream: newStream(t, server.namespace, client, steadyPort, changedPort),
		lost:   make(map[accounting.Key]accounting.Count),
	}
	r.flags = append([]string{"--interval", interval.String(), "--save-interval", "1s", "--shadowsocks", r.configuration()}, flags...)
	server.within(t, func(*os.File) (err error) {
		r.table, err = nft.Open(nft.Options{})
		return err
	})
	t.Cleanup(func() { _ = r.table.Close() })
	return r
}

// start starts the agent and the traffic.
func (r *trial) start(t *testing.T) {
	t.Helper()
	r.configure(t, steadyPort, changedPort)
	r.agent = r.startAgent(t, r.flags...)
	r.waitAttached(t, steadyPort, changedPort)
	r.stream.resume()
}

// restart ends the agent as kill -9 does, and starts another one.
func (r *trial) restart(t *testing.T) {
	t.Helper()
	r.kill()
	r.agent = r.startAgent(t, r.flags...)
}

// waitAttached waits until the ports are counted, and returns a time at which
// they were.
func (r *trial) waitAttached(t *testing.T, numbers ...int) time.Time {
	t.Helper()
	var ports accounting.Ports
	for _, number := range numbers {
		ports = append(ports, accounting.Port{Number: uint16(number), Protocols: accounting.TCPAndUDP})
	}
	eventually(t, func() error {
		if err := r.table.Read(new(accounting.Sample)); err != nil {
			return err
		}
		findings, err := r.table.Verify(ports)
		if err == nil && len(findings) > 0 {
			err = errors.New(strings.Join(findings, "; "))
		}
		return err
	})
	return time.Now()
}

// counters returns how many counters the port has in the kernel.
func (r *trial) counters(port uint16) (int, error) {
	var sample accounting.Sample
	if err := r.table.Read(&sample); err != nil {
		return 0, err
	}
	count := 0
	for _, reading := range sample.Readings {
		if reading.Key.Port == port {
			count++
		}
	}
	return count, nil
}

// waitDeleted waits until the port has no counter, and returns a time at which
// it had none.
func (r *trial) waitDeleted(t *testing.T, port uint16) time.Time {
	t.Helper()
	eventually(t, func() error {
		count, err := r.counters(port)
		if err == nil && count > 0 {
			err = fmt.Errorf("port %d still has %d counters", port, count)
		}
		return err
	})
	return time.Now()
}

// compare pauses the traffic and returns by how much the totals have fallen
// behind it since the last comparison. The sum of all ports must agree.
func (r *trial) compare(t *testing.T) map[accounting.Key]accounting.Count {
	t.Helper()
	r.stream.pause(t)
	report := r.report(t)
	counted, lost := totals(report), make(map[accounting.Key]accounting.Count)
	whole := true
	for key, sent := range r.stream.sent() {
		total, listed := counted[key]
		if !listed {
			whole = false
			continue
		}
		all := difference(t, key, sent, total)
		lost[key] = difference(t, key, all, r.lost[key])
		r.lost[key] = all
	}
	var sum [2]accounting.Count
	for key, total := range counted {
		sum[key.Direction] = sum[key.Direction].Plus(total)
	}
	in, out := report.Total.In.Total, report.Total.Out.Total
	if whole && sum != [2]accounting.Count{accounting.In: in, accounting.Out: out} {
		t.Fatalf("the ports add up to %+v, but the total is %+v and %+v", sum, in, out)
	}
	return lost
}

// difference fails the test if more was counted than was sent.
func difference(t *testing.T, key accounting.Key, all, part accounting.Count) accounting.Count {
	t.Helper()
	if less(all, part) {
		t.Fatalf("%s: got %+v of %+v, so some of it was counted twice", key, part, all)
	}
	return accounting.Count{Packets: all.Packets - part.Packets, Bytes: all.Bytes - part.Bytes}
}

func less(a, b accounting.Count) bool { return a.Packets < b.Packets || a.Bytes < b.Bytes }

// expectNothingLost checks that the totals of ports are exact to the byte.
func (r *trial) expectNothingLost(t *testing.T, ports ...uint16) {
	t.Helper()
	for key, lost := range r.compare(t) {
		if slices.Contains(ports, key.Port) && lost != (accounting.Count{}) {
			t.Fatalf("%s: got a loss of %+v, want none", key, lost)
		}
	}
	r.stream.forget()
	r.stream.resume()
}

// expectLost compares the loss of all counters with the traffic that the log has
// in the windows, one window per fault.
func (r *trial) expectLost(t *testing.T, f *figures, windows ...window) {
	t.Helper()
	for key, lost := range r.compare(t) {
		least, most := r.stream.duringAll(key, windows)
		if less(lost, least) || less(most, lost) {
			t.Fatalf("%s: got a loss of %+v, want between %+v and %+v by the log", key, lost, least, most)
		}
		f.least, f.most = f.least+least.Packets, f.most+most.Packets
		for _, w := range windows {
			_, most := r.stream.during(key, w)
			length := r.stream.length(key, most.Packets)
			if f.worst = max(f.worst, length); length > f.bound {
				t.Fatalf("%s: got a fault that lost up to %s of traffic, want at most %s", key, length, f.bound)
			}
		}
	}
	r.stream.forget()
	r.stream.resume()
}

// finish stops the agent cleanly, compares the totals with which the next one
// starts, and logs what was sent and counted on the ports.
func (r *trial) finish(t *testing.T, f *figures, ports ...uint16) {
	t.Helper()
	r.stop(t)
	r.agent = r.startAgent(t, r.flags...)
	for key, lost := range r.compare(t) {
		if lost != (accounting.Count{}) {
			t.Errorf("%s: got a loss of %+v by the last restart, want none", key, lost)
		}
	}
	for key, lost := range r.lost {
		if slices.Contains(ports, key.Port) {
			sent := r.stream.sent()[key].Packets
			f.sent, f.counted = f.sent+sent, f.counted+sent-lost.Packets
		}
	}
}
