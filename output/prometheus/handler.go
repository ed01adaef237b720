package prometheus

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/common/expfmt"

	"ssmonitor/internal/serving"
)

// Gap is the shortest time between two readings for /metrics, each of
// which may save the totals. It is shorter than any useful interval of scrapes.
const Gap = time.Second

// gzipMinimum is the size from which a response is compressed. A smaller one is
// sent in the first round trip anyway, and a compressor takes 800 KB of memory.
const gzipMinimum = 16 << 10

// formats are the formats that clients can negotiate.
var formats = []expfmt.Format{
	expfmt.NewFormat(expfmt.TypeTextPlain),
	expfmt.NewFormat(expfmt.TypeOpenMetrics),
}

// NewHandler serves GET /metrics and nothing else: it is the part that
// may be reachable over the network. It answers in the text format of Prometheus
// or in OpenMetrics, compressed if the client accepts that.
//
// Clients that ask within a second get the same response, which is kept compressed, once
// per format. At most two such generations exist. While slow clients read the older one,
// others get the newer one until it is 3 seconds old; then the slow ones are
// disconnected. So neither many clients nor slow ones cost more than two.
func NewHandler(metrics *Metrics, now func() time.Time) http.Handler {
	h := &handler{metrics: metrics}
	h.snapshots = serving.NewGenerations(h.take, Gap, now)
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", h)
	return mux
}

type handler struct {
	metrics   *Metrics
	snapshots *serving.Generations[*snapshot]
	rendering sync.Mutex // takes much processor time: one page at a time
}

// snapshot is a reading, and the pages that clients have requested of it.
type snapshot struct {
	reading *reading
	mutex   sync.Mutex // of pages
	pages   map[expfmt.Format]*page
}

// page is the response in one format.
type page struct {
	rendered sync.Once
	content  []byte
	gzipped  bool
	size     int // of the content before it was compressed
	err      error
}

func (h *handler) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	ctx, cancel := context.WithTimeout(req.Context(), serving.ReadTimeout)
	defer cancel()
	h.snapshots.Read(ctx, w, func(taken *snapshot, err error) {
		if err == nil {
			err = h.write(w, req.Header, taken)
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
		}
	})
}

// write writes the page that the client accepts. It returns an error, and has written
// nothing, if the page can't be rendered.
func (h *handler) write(w http.ResponseWriter, accepts http.Header, taken *snapshot) error {
	format := negotiateFormat(accepts)
	p := taken.page(format)
	p.rendered.Do(func() { p.err = h.render(p, taken.reading, format) })
	if p.err != nil {
		return p.err
	}
	header := w.Header()
	header.Set("Content-Type", string(format))
	header.Set("Cache-Control", "no-store")
	header.Set("Vary", "Accept, Accept-Encoding")
	if !p.gzipped || acceptsGzip(accepts) {
		if p.gzipped {
			header.Set("Content-Encoding", "gzip")
		}
		header.Set("Content-Length", strconv.Itoa(len(p.content)))
		_, _ = w.Write(p.content) // a client that has disconnected needs no response
		return nil
	}
	plain, err := gzip.NewReader(bytes.NewReader(p.content))
	if err != nil {
		return err
	}
	header.Set("Content-Length", strconv.Itoa(p.size))
	_, _ = io.Copy(w, plain)
	return nil
}

func negotiateFormat(header http.Header) expfmt.Format {
	format := expfmt.NegotiateAccept(header, formats...)
	if format.FormatType() == expfmt.TypeOpenMetrics {
		return formats[1]
	}
	return formats[0] // without the parameters that a client may add
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
func (h *handler) take(ctx context.Context) (*snapshot, error) {
	return &snapshot{reading: h.metrics.read(ctx), pages: make(map[expfmt.Format]*page)}, nil
}

func (s *snapshot) page(format expfmt.Format) *page {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	p := s.pages[format]
	if p == nil {
		p = new(page)
		s.pages[format] = p
	}
	return p
}

func (h *handler) render(p *page, reading *reading, format expfmt.Format) error {
	h.rendering.Lock()
	defer h.rendering.Unlock()
	var content pageWriter
	if err := reading.write(&content, format, h.metrics.process); err != nil {
		return fmt.Errorf("collecting the metrics: %w", err)
	}
	if err := content.close(); err != nil {
		return err
	}
	p.content, p.gzipped, p.size = content.Bytes(), content.compressor != nil, content.size
	return nil
}

// pageWriter compresses a page as it is written, unless it stays small. An uncompressed
// one may be very large.
type pageWriter struct {
	bytes.Buffer
	compressor *gzip.Writer // from gzipMinimum on
	size       int          // before compression
}

// Write implements io.Writer.
func (w *pageWriter) Write(part []byte) (int, error) {
	w.size += len(part)
	switch {
	case w.compressor != nil:
		return w.compressor.Write(part)
	case w.size < gzipMinimum:
		return w.Buffer.Write(part)
	}
	begin := bytes.Clone(w.Bytes())
	w.Reset()
	var err error
	if w.compressor, err = gzip.NewWriterLevel(&w.Buffer, gzip.BestSpeed); err != nil {
		return 0, err
	}
	if _, err := w.compressor.Write(begin); err != nil {
		return 0, err
	}
	return w.compressor.Write(part)
}

func (w *pageWriter) close() error {
	if w.compressor == nil {
		return nil
	}
	return w.compressor.Close()
}
