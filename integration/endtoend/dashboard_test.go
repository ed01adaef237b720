package endtoend_test

import (
	"errors"
	"flag"
	"fmt"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// makePicture also lets the clients use their ports for a minute and writes
// dashboardPicture:
//
//	go test ./integration -run TestDashboard -screenshot
var makePicture = flag.Bool("screenshot", false, "write the README's picture of Netdata's dashboard")

const dashboardPicture = "../netdata/dashboard.png"

// dashboard is the part of Netdata's dashboard that shows ssmonitor.
type dashboard struct {
	Menu   []string
	Charts []shownChart
	Newest struct{ X, Y float64 } // a point of the page, near the end of time in the first chart
}

type shownChart struct {
	Title, Units string
	Values       []string // received and sent, where the mouse points; else dashes
}

// readDashboard is the expression that makes a dashboard of the page. Charts
// out of sight are not drawn and have no title.
const readDashboard = `(() => {
	const text = element => element ? element.textContent.trim() : "";
	const box = document.querySelector("#chart_ssmonitor_total_traffic canvas")?.getBoundingClientRect();
	return {
		menu: [...document.querySelectorAll("#sidebar_ul a[href^='#menu_ssmonitor']")].map(text),
		charts: [...document.querySelectorAll("[id^='chart_ssmonitor_']")].map(chart => ({
			title: text(chart.querySelector(".dygraph-title")),
			units: text(chart.querySelector("[class*=LegendUnit]")),
			values: [...chart.querySelectorAll("[class*=DimensionValue]")].map(text),
		})).filter(chart => chart.title),
		newest: box ? {x: box.right - 12, y: box.top + box.height / 2} : {x: 0, y: 0},
	};
})()`

// openDashboard opens the dashboard for a span of time, points at its end, and
// returns what it shows when each chart has values there.
//
// The live dashboard, of the last five minutes, does not suit a test: while
// Netdata is younger than that, each of its points is the average of many
// seconds, and it does not ask for the next one any sooner.
func (n netdata) openDashboard(t *testing.T, b *browser, from, to time.Time, charts int) (d dashboard) {
	t.Helper()
	b.open(t, fmt.Sprintf("http://127.0.0.1:%d/?%d#menu_ssmonitor;after=%d;before=%d", netdataPort, to.UnixMilli(), from.UnixMilli(), to.UnixMilli()))
	waitUntil := func(complete func() bool) {
		t.Helper()
		eventually(t, func() error {
			err := b.evaluate(readDashboard, &d)
			if err == nil && !complete() {
				err = fmt.Errorf("the dashboard shows %+v", d)
			}
			return err
		})
	}
	waitUntil(func() bool { return len(d.Menu) > 0 })
	waitUntil(func() bool { return len(d.Charts) == charts })
	waitUntil(func() bool {
		b.point(t, d.Newest.X, d.Newest.Y)
		return !slices.ContainsFunc(d.Charts, func(c shownChart) bool { return len(c.Values) == 0 || slices.Contains(c.Values, "-") })
	})
	return d
}

// expect checks the values of the chart whose title begins with that text.
func (d dashboard) expect(t *testing.T, title, units string, received, sent float64) {
	t.Helper()
	i := slices.IndexFunc(d.Charts, func(c shownChart) bool { return strings.HasPrefix(c.Title, title) })
	if i < 0 {
		t.Errorf("there is no chart %q but %+v", title, d.Charts)
		return
	}
	chart := d.Charts[i]
	near := func(text string, want float64) bool {
		value, err := strconv.ParseFloat(text, 64)
		return err == nil && math.Abs(value-want) <= 0.1*math.Abs(want)
	}
	if len(chart.Values) != 2 || !near(chart.Values[0], received) || !near(chart.Values[1], sent) || chart.Units != units {
		t.Errorf("%q shows %v %s, want %.2f %.2f %s", title, chart.Values, chart.Units, received, sent, units)
	}
}

// TestDashboard looks at the charts as people do, with traffic and after it.
func TestDashboard(t *testing.T) {
	require(t, "netdata", "curl", "ss", "chromium", "/usr/share/netdata/web/index.html")
	t.Parallel()
	const charts = 1 + 3*3 // the sum, and three a port
	const span = 5 * time.Second
	server := newServer(t)
	agent := server.startCounting(t, "--port", "20000=alice", "--port", "20001=bob", "--port", "20002=carol")
	traffic := startSteadyTraffic(t, server.namespace)
	netdata := newNetdata(t, server)
	netdata.addSettings(t, "[global]\n    hostname = server\n")
	netdata = netdata.launch(t)
	browser := server.startBrowser(t)
	browser.resize(t, 1200, 3600) // room for all charts

	look := func(kilobits float64) dashboard {
		t.Helper()
		seconds := int(span/time.Second) + 2 // nothing else is to be in sight
		netdata.waitConsecutive(t, trafficChart, netdata.waitSteady(t, kilobits), seconds, kilobits)
		now := time.Now()
		return netdata.openDashboard(t, browser, now.Add(-span), now, charts)
	}
	megabits := traffic.kilobits / 1000
	shown := look(traffic.kilobits)
	if want := []string{"ssmonitor", "all ports", "ports"}; !slices.Equal(shown.Menu, want) {
		t.Errorf("the menu is %q, want %q", shown.Menu, want)
	}
	shown.expect(t, "Traffic of all ports", "megabits/s", megabits, -megabits)
	shown.expect(t, "Traffic of a port (ssmonitor.port_20000_traffic)", "megabits/s", megabits, -megabits)
	shown.expect(t, "Packets of a port (ssmonitor.port_20000_packets)", "pps", traffic.packets, -traffic.packets)
	for _, port := range []string{"port_20001", "port_20002"} {
		shown.expect(t, "Traffic of a port (ssmonitor."+port+"_traffic)", "kilobits/s", 0, 0)
		shown.expect(t, "Packets of a port (ssmonitor."+port+"_packets)", "pps", 0, 0)
	}

	traffic.stop(t)
	shown = look(0)
	shown.expect(t, "Traffic of all ports", "kilobits/s", 0, 0)
	shown.expect(t, "Traffic of a port (ssmonitor.port_20000_traffic)", "kilobits/s", 0, 0)

	if *makePicture {
		begin := time.Now()
		server.playClients(t)
		browser.resize(t, 1200, 1290) // room for four
		netdata.openDashboard(t, browser, begin.Add(span), time.Now(), 4)
		browser.unfoldMenu(t)
		if err := os.WriteFile(dashboardPicture, browser.screenshot(t), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	agent.stop(t)
}

// unfoldMenu scrolls a little, which makes the menu show the current section.
func (b *browser) unfoldMenu(t *testing.T) {
	t.Helper()
	eventually(t, func() error {
		var unfolded bool
		err := b.evaluate(`scrollTo(0, 1 - scrollY), document.querySelector("#sidebar_ul li.active li.active") !== null`, &unfolded)
		if err == nil && !unfolded {
			err = errors.New("the menu stays folded")
		}
		return err
	})
}

// playClients has three clients use their ports for a minute: one downloads,
// one uploads, one talks. With the race detector, whose programs take a second
// to end, the traffic has gaps.
func (n namespace) playClients(t *testing.T) {
	t.Helper()
	const datagram = 1200
	const step, steps = 2, 35 // a step in seconds
	clients := []struct {
		port             int
		received, sent   float64 // datagrams per second on average
		period, strength float64 // of the waves around it: in steps, and 0 to 1
	}{
		{20000, 60, 900, 17, 0.7},
		{20001, 500, 40, 9, 0.5},
		{20002, 120, 110, 5, 0.3},
	}
	for now := range steps {
		var senders []*program
		for _, client := range clients {
			wave := 1 + client.strength*math.Sin(2*math.Pi*float64(now)/client.period)
			address := fmt.Sprintf("127.0.0.1:%d", client.port)
			for _, s := range []sending{
				{to: address, perSecond: int(wave * client.received)},
				{from: address, to: "127.0.0.1:9", perSecond: int(wave * client.sent)}, // where nobody listens
			} {
				s.count, s.size = step*s.perSecond, datagram
				senders = append(senders, begin(t, n.roleCommand(roleSend, s.arguments()...)))
			}
		}
		for _, sender := range senders {
			sender.number(t)
		}
	}
}
