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
// format is kept. So neither many clients nor slow ones cost more than one.
func NewMetricsHandler(metrics *Metrics, now func() time.Time) http.Handler {
	h := &metricsHandler{metrics: metrics, now: now, pages: make(map[pageKey]*page)}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", h)
	return mux
}

type metricsHandler struct {
	metrics *Metrics
	now     func() time.Time
	mutex   sync.Mutex // of pages
	pages   map[pageKey]*page
}

// pageKey is what clients can choose.
type pageKey struct {
	format     expfmt.Format
	compressed bool
}

// page is the response in one format.
type page struct {
	turn    chan struct{} // holds one token while nobody renders; guards the fields below
	started time.Time
	content []byte
	gzipped bool
	size    int // of the content before it was compressed
	err     error
}

func (h *metricsHandler) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	key := pageKey{negotiateFormat(req.Header), acceptsGzip(req.Header)}
	ctx, cancel := context.WithTimeout(req.Context(), readTimeout)
	defer cancel()
	content, gzipped, err := h.page(key).render(ctx, h, key)
	if err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	header := w.Header()
	header.Set("Content-Type", string(key.format))
	header.Set("Content-Length", strconv.Itoa(len(content)))
	header.Set("Cache-Control", "no-store")
	header.Set("Vary", "Accept, Accept-Encoding")
	if gzipped {
		header.Set("Content-Encoding", "gzip")
	}
	_, _ = w.Write(content) // a client that has disconnected needs no response
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

func (h *metricsHandler) page(key pageKey) *page {
	h.mutex.Lock()
	defer h.mutex.Unlock()
	p := h.pages[key]
	if p == nil {
		p = &page{turn: make(chan struct{}, 1)}
		p.turn <- struct{}{}
		h.pages[key] = p
	}
	return p
}

// render returns a response that was begun at most MetricsGap ago.
func (p *page) render(ctx context.Context, h *metricsHandler, key pageKey) (content []byte, gzipped bool, err error) {
	select {
	case <-ctx.Done():
		return nil, false, ctx.Err()
	case <-p.turn:
	}
	defer func() { p.turn <- struct{}{} }()
	if now := h.now(); p.started.IsZero() || now.Sub(p.started) >= MetricsGap || now.Before(p.started) {
		p.started = now
		// The others that wait need the response even if this client leaves.
		work, cancel := context.WithTimeout(context.WithoutCancel(ctx), readTimeout)
		defer cancel()
		p.err = p.fill(work, h.metrics, key)
	}
	return p.content, p.gzipped, p.err
}

func (p *page) fill(ctx context.Context, metrics *Metrics, key pageKey) error {
	// The next page is about as large as the last one.
	plain, err := metrics.read(ctx).append(make([]byte, 0, p.size+p.size/8), key.format, metrics.process)
	if err != nil {
		return fmt.Errorf("collecting the metrics: %w", err)
	}
	p.content, p.gzipped, p.size = plain, false, len(plain)
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
