package prometheus

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/prometheus/common/expfmt"

	"ssmonitor/internal/serving"
	"ssmonitor/output/api"
)

// largestPage bounds the page of an agent, as it is sent. That of 65,535 ports has a
// quarter.
const largestPage = 32 << 20

// sizeLength is how many bytes at the end of gzip data say how long they are
// without compression: RFC 1952, ISIZE.
const sizeLength = 4

// Proxy serves the metrics of an agent to those that can't, or may not, reach its socket.
type Proxy struct {
	Agent *api.Client
	Names bool // whether to serve the names of clients
	Now   func() time.Time
	// Observe is called with the error of every request to the agent, nil if it
	// succeeded. It must be safe for concurrent use.
	Observe func(error)
}

// NewHandler serves GET /metrics and nothing else: it is the part that may be reachable
// over the network. Each request reads the agent, except that those which arrive during
// another share its page, as [serving.Shared] describes: at most two pages of a format
// exist, and the agent sees two clients at most. If the agent does not answer, the
// response is 503, with the reason.
func (p *Proxy) NewHandler() http.Handler {
	pages := make(map[expfmt.Format]*serving.Shared[*page])
	for _, format := range []expfmt.Format{textFormat, openMetricsFormat} {
		pages[format] = serving.NewShared(func(ctx context.Context) (*page, error) { return p.fetch(ctx, format) }, 0, p.Now)
	}
	return handle(func(w http.ResponseWriter, req *http.Request) {
		format := negotiateFormat(req.Header)
		sendShared(w, req, pages[format], format)
	})
}

// fetch requests the agent's page.
func (p *Proxy) fetch(ctx context.Context, format expfmt.Format) (*page, error) {
	parameters := url.Values{}
	if !p.Names {
		parameters.Set(namesParameter, "no")
	}
	fetched := new(page)
	header := http.Header{"Accept": {string(format)}, "Accept-Encoding": {"gzip"}}
	err := p.Agent.Metrics(ctx, parameters, header, func(header http.Header, body io.Reader) error {
		return fetched.receive(header, body, format)
	})
	p.Observe(err)
	if err != nil {
		return nil, err
	}
	return fetched, nil
}

// receive reads the page from a response that should be in the format.
func (p *page) receive(header http.Header, body io.Reader, format expfmt.Format) error {
	if got := header.Get("Content-Type"); got != string(format) {
		return fmt.Errorf("the type of its answer is %q, want %q", got, format)
	}
	length, err := p.content.ReadFrom(io.LimitReader(body, largestPage+1))
	if err != nil {
		return err
	}
	if length > largestPage {
		return fmt.Errorf("its answer has more than %d bytes", largestPage)
	}
	p.gzipped = header.Get("Content-Encoding") == "gzip"
	if p.gzipped && length < sizeLength {
		return errors.New("its answer is no gzip data")
	}
	if p.gzipped {
		p.size = int(binary.LittleEndian.Uint32(p.content.Bytes()[length-sizeLength:]))
	}
	return nil
}
