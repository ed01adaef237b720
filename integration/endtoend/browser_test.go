package endtoend_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"testing"
	"time"
)

// browser is a headless Chromium with one page, controlled by the DevTools
// protocol (https://chromedevtools.github.io/devtools-protocol).
type browser struct {
	commands *os.File // JSON, each message with a zero byte at its end
	messages *os.File
	reader   *bufio.Reader
	session  string // with the page; empty: with the browser
	count    int    // of the commands so far
}

// startBrowser starts Chromium in the namespace with an empty page.
func (n namespace) startBrowser(t *testing.T) *browser {
	t.Helper()
	home := t.TempDir()
	command := n.command("chromium", "--headless", "--remote-debugging-pipe", "--user-data-dir="+home,
		"--no-sandbox",            // root has none
		"--disable-dev-shm-usage", // files there would outlive it
		"--disable-gpu", "--disable-quic", "--disable-sync", "--disable-background-networking",
		"--disable-component-update", "--no-first-run", "--hide-scrollbars")
	command.Env = append(os.Environ(), "HOME="+home)
	reads, commands := pipe(t)
	messages, writes := pipe(t)
	command.ExtraFiles = []*os.File{reads, writes} // 3 and 4, as Chromium expects them
	program := begin(t, command)
	t.Cleanup(func() { // before its home is removed, into which its children write
		program.kill()
		n.killAll(t)
	})
	for _, file := range command.ExtraFiles { // so that its end is seen here
		if err := file.Close(); err != nil {
			t.Fatal(err)
		}
	}
	b := &browser{commands: commands, messages: messages, reader: bufio.NewReader(messages)}
	var target struct{ TargetID string }
	b.call(t, "Target.createTarget", map[string]any{"url": "about:blank"}, &target)
	var attached struct{ SessionID string }
	b.call(t, "Target.attachToTarget", map[string]any{"targetId": target.TargetID, "flatten": true}, &attached)
	b.session = attached.SessionID
	return b
}

// pipe returns both ends of a pipe, which is closed with the test.
func pipe(t *testing.T) (reads, writes *os.File) {
	t.Helper()
	reads, writes, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = reads.Close() // may be closed already
		_ = writes.Close()
	})
	return reads, writes
}

// call sends a command and decodes its result, which may be nil.
func (b *browser) call(t *testing.T, method string, parameters map[string]any, result any) {
	t.Helper()
	if err := b.exchange(method, parameters, result); err != nil {
		t.Fatalf("telling Chromium to %s: %v", method, err)
	}
}

func (b *browser) exchange(method string, parameters map[string]any, result any) error {
	b.count++
	command := map[string]any{"id": b.count, "method": method, "params": parameters}
	if b.session != "" {
		command["sessionId"] = b.session
	}
	text, err := json.Marshal(command)
	if err != nil {
		return err
	}
	if _, err := b.commands.Write(append(text, 0)); err != nil {
		return err
	}
	if err := b.messages.SetReadDeadline(time.Now().Add(4 * patience)); err != nil {
		return err
	}
	for {
		text, err := b.reader.ReadBytes(0)
		if err != nil {
			return err
		}
		var message struct {
			ID     int
			Error  *struct{ Message string }
			Result json.RawMessage
		}
		if err := json.Unmarshal(text[:len(text)-1], &message); err != nil {
			return fmt.Errorf("%w in %s", err, text)
		}
		switch {
		case message.ID != b.count:
			continue // an event
		case message.Error != nil:
			return fmt.Errorf("it answers: %s", message.Error.Message)
		case result == nil:
			return nil
		}
		return json.Unmarshal(message.Result, result)
	}
}

// resize sets the size of the page in pixels.
func (b *browser) resize(t *testing.T, width, height int) {
	t.Helper()
	b.call(t, "Emulation.setDeviceMetricsOverride",
		map[string]any{"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false}, nil)
}

// open begins to load a page.
func (b *browser) open(t *testing.T, url string) {
	t.Helper()
	b.call(t, "Page.navigate", map[string]any{"url": url}, nil)
}

// point moves the mouse to a point of the page.
func (b *browser) point(t *testing.T, x, y float64) {
	t.Helper()
	b.call(t, "Input.dispatchMouseEvent", map[string]any{"type": "mouseMoved", "x": x, "y": y}, nil)
}

// evaluate decodes the value of a JavaScript expression. It fails while one page
// replaces another.
func (b *browser) evaluate(expression string, value any) error {
	var answer struct {
		Result           struct{ Value json.RawMessage }
		ExceptionDetails json.RawMessage
	}
	err := b.exchange("Runtime.evaluate", map[string]any{"expression": expression, "returnByValue": true}, &answer)
	switch {
	case err != nil:
		return fmt.Errorf("evaluating in Chromium: %w", err)
	case answer.ExceptionDetails != nil:
		return fmt.Errorf("evaluating in Chromium: %s", answer.ExceptionDetails)
	}
	return json.Unmarshal(answer.Result.Value, value)
}

// screenshot returns the page as PNG.
func (b *browser) screenshot(t *testing.T) []byte {
	t.Helper()
	var picture struct{ Data []byte } // base64 in JSON
	b.call(t, "Page.captureScreenshot", map[string]any{"format": "png"}, &picture)
	return picture.Data
}
