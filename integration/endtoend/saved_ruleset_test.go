package endtoend_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"ssmonitor/accounting"
	"ssmonitor/output/api"
)

// report requests GET /v1/ports until the response is from a reading that began
// after this call.
func (a agent) report(t *testing.T) *accounting.Report {
	t.Helper()
	client := api.NewClient(a.socket())
	asked := time.Now()
	var report *accounting.Report
	eventually(t, func() (err error) {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if report, err = client.Report(ctx); err != nil {
			return err
		}
		if !report.Time.After(asked) {
			return errors.New("the report is older than the question")
		}
		return nil
	})
	return report
}

// totals returns the totals of a report by counter.
func totals(report *accounting.Report) map[accounting.Key]accounting.Count {
	totals := make(map[accounting.Key]accounting.Count)
	for _, port := range report.Ports {
		for _, key := range port.Port.Keys(nil) {
			traffic := port.TCP
			if key.Protocol == accounting.UDP {
				traffic = port.UDP
			}
			flow := traffic.In
			if key.Direction == accounting.Out {
				flow = traffic.Out
			}
			totals[key] = flow.Total
		}
	}
	return totals
}

// TestLedgerStaysRightWhenASavedRulesetIsLoaded writes the ruleset to a file,
// and loads it after a port change, a reset and a restart. The values in
// the file were counted long ago, partly for a port that has been removed.
func TestLedgerStaysRightWhenASavedRulesetIsLoaded(t *testing.T) {
	for _, while := range []string{"the agent runs", "no agent runs"} {
		t.Run(while, func(t *testing.T) {
			t.Parallel()
			const stays, goes, comes = 20000, 20001, 20002
			server := newServer(t)
			start := func() agent { return server.startAgent(t, "--list", server.list) }
			setup := func(ports ...int) {
				var flags []string
				for _, port := range ports {
					flags = append(flags, "--port", fmt.Sprint(port))
				}
				server.setup(t, flags...)
			}

			setup(stays, goes)
			agent := start()
			agent.waitServing(t, stays, goes)
			server.sendToItself(t, stays, 100)
			server.sendToItself(t, goes, 50)
			agent.expectPackets(t, 150, map[int]uint64{stays: 100, goes: 50})
			saved := server.ruleset(t)

			setup(stays, comes)
			agent.waitServing(t, stays, comes)
			server.sendToItself(t, stays, 10)
			server.sendToItself(t, comes, 5)
			agent.expectPackets(t, 165, map[int]uint64{stays: 110, comes: 5})

			server.run(t, "nft", "reset", "counters")
			agent.expectPackets(t, 165, map[int]uint64{stays: 110, comes: 5})
			server.sendToItself(t, stays, 3)

			agent.stop(t)
			server.sendToItself(t, stays, 2)
			if while == "the agent runs" {
				agent = start()
				agent.expectPackets(t, 170, map[int]uint64{stays: 115, comes: 5})
				server.nft(t, "flush ruleset\n"+saved)
			} else {
				// Counts of the old table that were not read yet are lost with it.
				// Counts of the restored table cannot be told from those in the file.
				server.nft(t, "flush ruleset\n"+saved)
				server.sendToItself(t, stays, 40)
				agent = start()
			}
			agent.waitSaying(t, "loaded from a saved ruleset")
			unread := uint64(0)
			if while == "no agent runs" {
				unread = 2
			}
			agent.expectPackets(t, 170-unread, map[int]uint64{stays: 115 - unread, comes: 5})
			server.sendToItself(t, stays, 20)
			agent.expectPackets(t, 190-unread, map[int]uint64{stays: 135 - unread, comes: 5})

			// The removed port continues from its own total, not from the file's.
			setup(stays, goes, comes)
			agent.waitServing(t, stays, goes, comes)
			server.sendToItself(t, goes, 1)
			agent.expectPackets(t, 191-unread, map[int]uint64{stays: 135 - unread, goes: 51, comes: 5})

			agent.kill()
			agent = start()
			agent.expectPackets(t, 191-unread, map[int]uint64{stays: 135 - unread, goes: 51, comes: 5})
			agent.stop(t)
		})
	}
}

// expectPackets compares the totals of UDP, and that of all ports together, with
// what sendToItself has sent: each datagram is counted once in and once out.
func (a agent) expectPackets(t *testing.T, all uint64, byPort map[int]uint64) {
	t.Helper()
	const size = 20 + 8 + 100 // as sendToItself sends them, with the headers of IPv4 and UDP
	want := make(map[accounting.Key]accounting.Count)
	for port, packets := range byPort {
		for _, key := range (accounting.Port{Number: uint16(port), Protocols: accounting.TCPAndUDP}).Keys(nil) {
			want[key] = accounting.Count{}
			if key.Protocol == accounting.UDP {
				want[key] = accounting.Count{Packets: packets, Bytes: size * packets}
			}
		}
	}
	report := a.report(t)
	got := totals(report)
	for key, count := range want {
		if got[key] != count {
			t.Errorf("the total of %s is %+v, want %+v", key, got[key], count)
		}
	}
	if len(got) != len(want) {
		t.Errorf("there are totals of %d counters, want %d", len(got), len(want))
	}
	sum := accounting.Count{Packets: all, Bytes: size * all}
	if report.Total.In.Total != sum || report.Total.Out.Total != sum {
		t.Errorf("all ports together have %+v and %+v, want %+v each way", report.Total.In.Total, report.Total.Out.Total, sum)
	}
}
