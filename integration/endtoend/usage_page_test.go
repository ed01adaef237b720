package endtoend_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ssmonitor/accounting"
	"ssmonitor/accounting/usage"
	"ssmonitor/output/report"
)

// usagePicture is the README's picture of the page, which -screenshot writes.
const usagePicture = "../usage.png"

// monthSource answers with a month of clients: every day of it, or the sum.
type monthSource struct {
	start, end time.Time // until which there is usage
	names      []string  // of port 20000 and up
}

func (s *monthSource) View(_ context.Context, read func(usage.Snapshot) error) error { return read(s) }

func (s *monthSource) Calendar() usage.Calendar {
	return usage.Calendar{Zone: s.start.Location(), MonthDay: 1}
}

func (s *monthSource) Clients() ([]usage.Client, error) { return nil, nil }

func (s *monthSource) Usage(query usage.Query) (*usage.Records, error) {
	random := rand.New(rand.NewPCG(2, 7))
	records := new(usage.Records)
	for day := s.start; day.Before(s.end); day = day.AddDate(0, 0, 1) {
		for i, name := range s.names {
			mean := 40e9 / float64(i+2)
			sent := uint64(mean * (0.2 + 1.6*random.Float64()))
			row := usage.Row{
				Start: day, End: day.AddDate(0, 0, 1), Client: name, Port: uint16(20000 + i), Protocol: accounting.TCP,
				In: accounting.Count{Bytes: sent / uint64(12+i%9)}, Out: accounting.Count{Bytes: sent},
			}
			if query.By != usage.ByDay {
				row.Start, row.End = s.start, s.start.AddDate(0, 1, 0)
			}
			records.Rows = append(records.Rows, row)
		}
	}
	return records, nil
}

// writeUsagePage writes the page of November 2026 and returns its URL.
func writeUsagePage(t *testing.T, names []string, warn ...string) (url string) {
	t.Helper()
	start := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	limits, err := usage.ParseLimits(warn)
	if err != nil {
		t.Fatal(err)
	}
	usageReport, err := usage.NewReport(t.Context(), &monthSource{start, start.AddDate(0, 0, 24), names},
		usage.Request{Course: true}, limits, start.AddDate(0, 0, 23))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "usage.html")
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := report.WriteHTML(file, usageReport); err != nil {
		t.Fatal(err)
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
	return "file://" + path
}

// usagePage is what the browser shows of a page.
type usagePage struct {
	Ready        bool
	First, Last  string // client of the first and the last row
	Rows, Bars   int
	Sorted       string // the column and its order
	Beyond       int    // pixels by which the page is wider than the window
	Cut          int    // cells whose text is wider than they are
	Background   string
	Milliseconds float64 // from the start of loading to the end of layout
}

const readUsagePage = `(() => {
	const rows = [...document.querySelectorAll("#clients tbody tr")];
	const name = row => row ? row.querySelector("bdi").textContent : "";
	const sorted = document.querySelector("[aria-sort]");
	const timing = performance.getEntriesByType("navigation")[0];
	return {
		ready: document.readyState === "complete" && timing.loadEventEnd > 0,
		first: name(rows[0]), last: name(rows.at(-1)), rows: rows.length,
		bars: document.querySelectorAll(".plot g").length,
		sorted: sorted ? sorted.textContent.trim() + " " + sorted.getAttribute("aria-sort") : "",
		beyond: document.documentElement.scrollWidth - innerWidth,
		cut: [...document.querySelectorAll("td, th, dd")].filter(cell => cell.scrollWidth > cell.clientWidth + 1).length,
		background: getComputedStyle(document.body).backgroundColor,
		milliseconds: timing.loadEventEnd - timing.startTime,
	};
})()`

func (b *browser) usagePage(t *testing.T) (page usagePage) {
	t.Helper()
	eventually(t, func() error {
		err := b.evaluate(readUsagePage, &page)
		if err == nil && !page.Ready {
			err = fmt.Errorf("the page shows %+v", page)
		}
		return err
	})
	return page
}

// sortUsage clicks on the head of a column.
func (b *browser) sortUsage(t *testing.T, column int) usagePage {
	t.Helper()
	var done bool
	if err := b.evaluate(fmt.Sprintf(`document.querySelectorAll("#clients thead button")[%d].click(), true`, column), &done); err != nil {
		t.Fatal(err)
	}
	return b.usagePage(t)
}

// preferScheme has the browser prefer the colour scheme dark or light.
func (b *browser) preferScheme(t *testing.T, scheme string) {
	t.Helper()
	b.call(t, "Emulation.setEmulatedMedia", map[string]any{
		"features": []map[string]string{{"name": "prefers-color-scheme", "value": scheme}},
	}, nil)
}

// TestUsagePage looks at the page of `usage --format html` as people do: from
// the disk, on a telephone and a large screen, bright and dark.
func TestUsagePage(t *testing.T) {
	require(t, "chromium")
	t.Parallel()
	names := []string{"alice", "bob", "carol", "dave", "erin", "frank", "grace", "heidi", "Ivan", ""}
	browser := newNamespace(t).startBrowser(t)
	url := writeUsagePage(t, names, "400GB")
	load := func(width, height int, scheme, url string) usagePage {
		t.Helper()
		browser.resize(t, width, height)
		browser.preferScheme(t, scheme)
		browser.open(t, "about:blank")
		browser.open(t, url)
		eventually(t, func() error {
			var at string
			if err := browser.evaluate("location.href", &at); err != nil || at != url {
				return fmt.Errorf("the page is %q, %w", at, err)
			}
			return nil
		})
		return browser.usagePage(t)
	}
	backgrounds := make(map[string]bool)
	for _, width := range []int{390, 1280} {
		for _, scheme := range []string{"light", "dark"} {
			page := load(width, 1500, scheme, url)
			if page.Beyond > 0 || page.Cut > 0 {
				t.Errorf("%d pixels, %s: the page is %d pixels too wide, %d cells are cut", width, scheme, page.Beyond, page.Cut)
			}
			if page.Rows != len(names) || page.Bars != 30 || page.First != "alice" {
				t.Errorf("%d pixels, %s: it shows %+v", width, scheme, page)
			}
			backgrounds[page.Background] = true
			saveScreenshot(t, browser, fmt.Sprintf("usage-%d-%s.png", width, scheme))
		}
	}
	if len(backgrounds) != 2 {
		t.Errorf("bright and dark have the backgrounds %v", backgrounds)
	}
	sorts := []struct {
		column              int
		sorted, first, last string
	}{
		{0, "Client ascending", "alice", "port 20009"},
		{0, "Client descending", "port 20009", "alice"},
		{1, "Received descending", "alice", "Ivan"},
		{3, "Total descending", "alice", "Ivan"},
		{3, "Total ascending", "Ivan", "alice"},
		{4, "Share descending", "alice", "Ivan"},
	}
	for _, sort := range sorts {
		page := browser.sortUsage(t, sort.column)
		if page.Sorted != sort.sorted || page.First != sort.first || page.Last != sort.last || page.Rows != len(names) {
			t.Errorf("after a click on column %d it shows %+v, want %+v", sort.column, page, sort)
		}
	}
	const almostEqual = `(() => {
		const rows = [...document.querySelectorAll("#clients tbody tr")];
		rows.forEach(row => row.cells[3].dataset.value = "0");
		rows.at(0).cells[3].dataset.value = "9007199254740992"; // 2^53, which a Number can't tell from the next
		rows.at(-1).cells[3].dataset.value = "9007199254740993";
		return true;
	})()`
	var set bool
	if err := browser.evaluate(almostEqual, &set); err != nil {
		t.Fatal(err)
	}
	if page := browser.sortUsage(t, 3); page.First != "Ivan" {
		t.Errorf("the larger of two numbers with 16 digits is not first: it shows %+v", page)
	}
	if *makePicture {
		load(1000, 1180, "light", url)
		if err := os.WriteFile(usagePicture, browser.screenshot(t), 0o644); err != nil {
			t.Fatal(err)
		}
	}

	many := make([]string, 1000)
	for i := range many {
		many[i] = fmt.Sprintf("client %d %s", i, strings.Repeat("王", i%20))
	}
	many[7] = strings.Repeat("verylongname", 10)
	url = writeUsagePage(t, many)
	hundredth := writeUsagePage(t, many[:len(many)/100]) // shows how busy the machine is
	for _, width := range []int{390, 1280} {
		page := load(width, 900, "light", url)
		if page.Rows != len(many) || page.Beyond > 0 || page.Cut > 0 {
			t.Errorf("1,000 clients: it shows %+v", page)
		}
		few, all := load(width, 900, "light", hundredth).Milliseconds, page.Milliseconds
		for range 2 { // other tests run at the same time
			if all > 2000 {
				all = min(all, load(width, 900, "light", url).Milliseconds)
			}
		}
		t.Logf("1,000 clients at %d pixels: %.0f ms, 10 clients: %.0f ms", width, all, few)
		if all > 2000 && all > 30*few {
			t.Errorf("1,000 clients took %.0f ms and 10 took %.0f ms, want less than 2,000 or 30 times as much", all, few)
		}
		saveScreenshot(t, browser, fmt.Sprintf("usage-many-%d.png", width))
		begin := time.Now()
		browser.sortUsage(t, 0)
		t.Logf("sorting them took %s", time.Since(begin))
	}
}

// saveScreenshot keeps a picture where the environment names a directory.
func saveScreenshot(t *testing.T, b *browser, name string) {
	t.Helper()
	if directory := os.Getenv("SSMONITOR_TEST_SCREENSHOTS"); directory != "" {
		if err := os.WriteFile(filepath.Join(directory, name), b.screenshot(t), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}
