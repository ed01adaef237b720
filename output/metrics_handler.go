package output

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/common/expfmt"
)

// MetricsGap is the shortest time between two readings for /metrics, each of
// which may save the totals. It is shorter than any useful interval of scrapes.
const MetricsGap = time.Second

// gzipMinimum is the size from which a response is compressed. A smaller one is
// sent in the first round trip anyway, and a compressor takes 800 KB of memory.
const gzipMinimum = 16 << 10

// metricsFormats are the formats that clients can negotiate.
var metricsFormats = []expfmt.Format{
	expfmt.NewFormat(expfmt.TypeTextPlain),
	expfmt.NewFormat(expfmt.TypeOpenMetrics),
}

// NewMetricsHandler serves GET /metrics and nothing else: it is the part that
// may be reachable over the network. It answers in the text format of Prometheus
// or in OpenMetrics, compressed if the client accepts that.
//
// Clients that ask within a second get the same response, of which one copy per
// format is kept. At most two such generations exist. While slow clients read the
// older one, others get the newer one until it is 3 seconds old; then the slow ones
// are disconnected. So neither many clients nor slow ones cost more than two.
func NewMetricsHandler(metrics *Metrics, now func() time.Time) http.Handler {
	h := &metricsHandler{metrics: metrics, sizes: make(map[pageKey]int)}
	h.snapshots = newGenerations(h.take, MetricsGap, now)
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", h)
	return mux
}

type metricsHandler struct {
	metrics   *Metrics
	snapshots *generations[*snapshot]
	mutex     sync.Mutex      // of sizes and of the pages of every snapshot
	sizes     map[pageKey]int // of the last pages before they were compressed
}

// snapshot is a reading, and the responses that clients have requested of it.
type snapshot struct {
	reading *reading
	pages   map[pageKey]*page
}

// pageKey is what clients can choose.
type pageKey struct {
	format     expfmt.Format
	compressed bool
}

// page is the response in one format.
type page struct {
	rendered sync.Once
	content  []byte
	gzipped  bool
	err      error
}

func (h *metricsHandler) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	key := pageKey{negotiateFormat(req.Header), acceptsGzip(req.Header)}
	ctx, cancel := context.WithTimeout(req.Context(), readTimeout)
	defer cancel()
	h.snapshots.read(ctx, w, func(taken *snapshot, err error) {
		if err == nil {
			err = h.write(w, taken, key)
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
		}
	})
}

// write writes the page, unless it fails to render it.
func (h *metricsHandler) write(w http.ResponseWriter, taken *snapshot, key pageKey) error {
	p := h.page(taken, key)
	p.rendered.Do(func() { p.err = h.render(p, taken.reading, key) })
	if p.err != nil {
		return p.err
	}
	header := w.Header()
	header.Set("Content-Type", string(key.format))
	header.Set("Content-Length", strconv.Itoa(len(p.content)))
	header.Set("Cache-Control", "no-store")
	header.Set("Vary", "Accept, Accept-Encoding")
	if p.gzipped {
		header.Set("Content-Encoding", "gzip")
	}
	_, _ = w.Write(p.content) // a client that has disconnected needs no response
	return nil
}

func negotiateFormat(header http.Header) expfmt.Format {
	format := expfmt.NegotiateAccept(header, metricsFormats...)
	if format.FormatType() == expfmt.TypeOpenMetrics {
		return metricsFormats[1]
	}
	return metricsFormats[0] // without the parameters that a client may add
}

func acceptsGzip(header http.Header) bool {
	for _, accepted := range header.Values("Accept-Encoding") {
		for encoding := range strings.SplitSeq(accepted, ",") {
			name, parameter, _ := strings.Cut(strings.TrimSpace(encoding), ";")
			if strings.EqualFold(strings.TrimSpace(name), "gzip") && !slices.Contains([]string{"q=0", "q=0.0", "q=0.00", "q=0.000"}, strings.TrimSpace(parameter)) {
				return true
			}
		}
	}
	return false
}

// take takes a reading, of which pages are rendered when they are requested.
func (h *metricsHandler) take(ctx context.Context) (*snapshot, error) {
	return &snapshot{reading: h.metrics.read(ctx), pages: make(map[pageKey]*page)}, nil
}

func (h *metricsHandler) page(taken *snapshot, key pageKey) *page {
	h.mutex.Lock()
	defer h.mutex.Unlock()
	p := taken.pages[key]
	if p == nil {
		p = new(page)
		taken.pages[key] = p
	}
	return p
}

// capacity returns the size to reserve: the next page is about as large as the last.
func (h *metricsHandler) capacity(key pageKey) int {
	h.mutex.Lock()
	defer h.mutex.Unlock()
	return h.sizes[key] + h.sizes[key]/8
}

func (h *metricsHandler) setSize(key pageKey, size int) {
	h.mutex.Lock()
	defer h.mutex.Unlock()
	h.sizes[key] = size
}

func (h *metricsHandler) render(p *page, reading *reading, key pageKey) error {
	plain, err := reading.append(make([]byte, 0, h.capacity(key)), key.format, h.metrics.process)
	if err != nil {
		return fmt.Errorf("collecting the metrics: %w", err)
	}
	h.setSize(key, len(plain))
	p.content = plain
	if !key.compressed || len(plain) < gzipMinimum {
		return nil
	}
	var compressed bytes.Buffer
	writer, err := gzip.NewWriterLevel(&compressed, gzip.BestSpeed)
	if err == nil {
		_, err = writer.Write(plain)
	}
	if err == nil {
		err = writer.Close()
	}
	p.content, p.gzipped = compressed.Bytes(), true
	return err
}
