package prometheus

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/common/expfmt"

	"ssmonitor/internal/serving"
)

// shortestGap is the shortest time between two readings for /metrics, each of
// which may save the totals. It is shorter than any useful interval of scrapes.
const shortestGap = time.Second

// gzipMinimum is the size from which a response is compressed. A smaller one is
// sent in the first round trip anyway, and a compressor takes 800 KB of memory.
const gzipMinimum = 16 << 10

// The formats that clients can negotiate.
var (
	textFormat        = expfmt.NewFormat(expfmt.TypeTextPlain)
	openMetricsFormat = expfmt.NewFormat(expfmt.TypeOpenMetrics)
)

// variant is what the clients of a page have in common.
type variant struct {
	format expfmt.Format
	names  bool
}

// NewHandler serves GET /metrics on the agent's socket, in the text format of Prometheus
// or in OpenMetrics, compressed if the client accepts that. With ?names=no there are no
// names of clients.
//
// Clients that ask within a second get the same page of a format, which is kept compressed.
// At most two such versions exist. While slow clients read the older one,
// others get the newer one until it is 3 seconds old; then the slow ones are
// disconnected. So neither many clients nor slow ones cost more than two.
func NewHandler(metrics *Metrics, now func() time.Time) http.Handler {
	pages := make(map[variant]*serving.Shared[*page])
	for _, v := range variants {
		pages[v] = serving.NewShared(func(ctx context.Context) (*page, error) { return metrics.render(ctx, v) }, shortestGap, now)
	}
	return handle(func(w http.ResponseWriter, req *http.Request) {
		names := req.URL.Query().Get(namesParameter)
		if names != "" && names != "yes" && names != "no" {
			http.Error(w, namesParameter+": want yes or no", http.StatusBadRequest)
			return
		}
		v := variant{negotiateFormat(req.Header), metrics.options.Names && names != "no"}
		sendShared(w, req, pages[v], v.format)
	})
}

// namesParameter says whether a page has the names of clients.
const namesParameter = "names"

var variants = []variant{{textFormat, true}, {textFormat, false}, {openMetricsFormat, true}, {openMetricsFormat, false}}

// handle answers GET /metrics, and refuses everything else.
func handle(get http.HandlerFunc) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /metrics", get)
	return mux
}

// sendShared sends the page that its clients share.
func sendShared(w http.ResponseWriter, req *http.Request, shared *serving.Shared[*page], format expfmt.Format) {
	ctx, cancel := context.WithTimeout(req.Context(), serving.ReadTimeout)
	defer cancel()
	shared.Read(ctx, w, func(p *page, err error) {
		if err == nil {
			err = p.send(w, format, acceptsGzip(req.Header))
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
		}
	})
}

func negotiateFormat(header http.Header) expfmt.Format {
	if expfmt.NegotiateAccept(header, textFormat, openMetricsFormat).FormatType() == expfmt.TypeOpenMetrics {
		return openMetricsFormat
	}
	return textFormat // without the parameters that a client may add
}

func acceptsGzip(header http.Header) bool {
	for encoding := range strings.SplitSeq(strings.Join(header.Values("Accept-Encoding"), ","), ",") {
		name, parameters, _ := mime.ParseMediaType(encoding)
		weight, err := strconv.ParseFloat(parameters["q"], 64)
		if name == "gzip" && (err != nil || weight > 0) {
			return true
		}
	}
	return false
}

// page is the response in one format. It is compressed as it is written, unless it stays
// small: an uncompressed one may be very large.
type page struct {
	content    bytes.Buffer
	size       int          // before compression
	compressor *gzip.Writer // while the page is written, from gzipMinimum on
	gzipped    bool
}

// render takes a reading and writes its page.
func (m *Metrics) render(ctx context.Context, v variant) (*page, error) {
	p := new(page)
	r := m.read(ctx)
	r.names = v.names
	if err := r.write(p, v.format, m.process); err != nil {
		return nil, fmt.Errorf("collecting the metrics: %w", err)
	}
	if p.compressor == nil {
		return p, nil
	}
	err := p.compressor.Close()
	p.compressor, p.gzipped = nil, true
	return p, err
}

// Write implements io.Writer.
func (p *page) Write(part []byte) (int, error) {
	p.size += len(part)
	if p.size < gzipMinimum {
		return p.content.Write(part)
	}
	if p.compressor == nil {
		begin := bytes.Clone(p.content.Bytes())
		p.content.Reset()
		var err error
		if p.compressor, err = gzip.NewWriterLevel(&p.content, gzip.BestSpeed); err != nil {
			return 0, err
		}
		if _, err := p.compressor.Write(begin); err != nil {
			return 0, err
		}
	}
	return p.compressor.Write(part)
}

// send sends the page. After an error nothing has been sent.
func (p *page) send(w http.ResponseWriter, format expfmt.Format, acceptsGzip bool) error {
	content, size := io.Reader(bytes.NewReader(p.content.Bytes())), p.content.Len()
	if p.gzipped && !acceptsGzip {
		var err error
		if content, err = gzip.NewReader(content); err != nil {
			return err
		}
		size = p.size
	}
	header := w.Header()
	header.Set("Content-Type", string(format))
	header.Set("Cache-Control", "no-store")
	header.Set("Vary", "Accept, Accept-Encoding")
	header.Set("Content-Length", strconv.Itoa(size))
	if p.gzipped && acceptsGzip {
		header.Set("Content-Encoding", "gzip")
	}
	_, _ = io.Copy(w, content) // a client that has disconnected needs no response
	return nil
}
