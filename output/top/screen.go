package top

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"
	"time"

	"github.com/gdamore/tcell/v3"
	"github.com/gdamore/tcell/v3/color"

	"ssmonitor/internal/terminal"
)

// Run shows the table on the terminal until the user quits, ctx ends or the
// terminal is closed. However it ends, also by a panic, the terminal is as it was
// before.
func (t *Top) Run(ctx context.Context) error {
	// The answers to questions about a terminal would arrive late over a slow
	// line, and end up in the shell.
	screen, err := tcell.NewScreen(tcell.OptNegotiation(false))
	if err == nil {
		err = screen.Init()
	}
	if err != nil {
		return fmt.Errorf("preparing the terminal: %w", err)
	}
	defer screen.Fini()
	screen.RegisterRuneFallback('…', "~") // in a locale without Unicode
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s := &session{
		Top: t, screen: screen, ctx: ctx,
		model:   t.newModel(t.Charset == terminal.Unicode && showsBlocks(screen.CharacterSet(), os.Getenv("TERM"))),
		answers: make(chan answer), panics: make(chan string), continued: make(chan os.Signal, 1),
	}
	signal.Notify(s.continued, syscall.SIGCONT)
	defer signal.Stop(s.continued)
	return s.run()
}

// showsBlocks reports whether the terminal has the characters of sparklines, which
// are in none of the fonts of the Linux console.
func showsBlocks(charset, term string) bool {
	utf8 := strings.EqualFold(charset, "UTF-8") || strings.EqualFold(charset, "utf8")
	return utf8 && term != "linux" && !strings.HasPrefix(term, "vt")
}

// session is a table on a terminal.
type session struct {
	*Top
	screen    tcell.Screen
	ctx       context.Context
	model     *model
	answers   chan answer
	panics    chan string    // of requests, with their stacks
	continued chan os.Signal // after a stop, by the shell or somebody else
	// A request of each kind is in progress at most.
	pending [kinds]bool
}

// kind is what is requested.
type kind int

const (
	reportRequest kind = iota
	usageRequest
	hoursRequest
	remotesRequest
	kinds
)

// answer applies what was requested to the model.
type answer struct {
	kind  kind
	apply func(*model)
}

func (s *session) run() error {
	refresh, usage := time.NewTicker(s.Interval), time.NewTimer(usageInterval(nil))
	defer refresh.Stop()
	defer usage.Stop()
	s.requestReport()
	s.requestUsage()
	for {
		s.draw()
		select {
		case <-s.ctx.Done():
			return nil
		case event, open := <-s.screen.EventQ():
			if !open {
				return nil
			}
			done, err := s.handle(event)
			if done || err != nil {
				return err
			}
		case <-s.continued:
			s.screen.Sync() // the shell has written since
		case message := <-s.panics:
			panic(message) //nolint:forbidigo // where the terminal is restored
		case <-refresh.C:
			s.requestReport()
			s.requestDetail(false)
		case <-usage.C:
			usage.Reset(usageInterval(s.model.latest.report))
			s.requestUsage()
			s.requestDetail(true)
		case answer := <-s.answers:
			s.pending[answer.kind] = false
			failed := s.model.latest.err != nil
			answer.apply(s.model)
			if failed && s.model.latest.err == nil {
				s.requestUsage() // the agent is back
			}
		}
	}
}

// handle handles an event of the terminal.
func (s *session) handle(event tcell.Event) (done bool, err error) {
	switch event := event.(type) {
	case *tcell.EventKey:
		if event.Key() == tcell.KeyCtrlL {
			s.screen.Sync() // repaint what another program has overwritten
			return false, nil
		}
		switch s.model.press(keyName(event)) {
		case actionQuit:
			return true, nil
		case actionSuspend:
			return false, s.suspend()
		case actionDetail:
			s.requestDetail(true)
		case actionNone:
		}
	case *tcell.EventError:
		return true, nil // the terminal is closed
	}
	return false, nil
}

// keyName returns the model's name of a key, or the typed character.
func keyName(event *tcell.EventKey) string {
	if event.Key() == tcell.KeyRune {
		return event.Str()
	}
	return "<" + strings.ToLower(tcell.KeyNames[event.Key()]) + ">"
}

// request runs a request in the background, unless one of its kind is in progress.
func (s *session) request(kind kind, run func() func(*model)) {
	if s.pending[kind] {
		return
	}
	s.pending[kind] = true
	go func() {
		defer s.passPanic()
		apply := run()
		select {
		case s.answers <- answer{kind, apply}:
		case <-s.ctx.Done():
		}
	}()
}

// passPanic hands a panic to the goroutine that restores the terminal. Elsewhere it
// would end the program at once.
func (s *session) passPanic() {
	if reason := recover(); reason != nil {
		s.panics <- fmt.Sprintf("%v\n\n%s", reason, debug.Stack())
	}
}

func (s *session) requestReport() {
	s.request(reportRequest, func() func(*model) {
		report, problems, err := s.report(s.ctx)
		return func(m *model) {
			m.latest.problems = problems
			m.observeReport(s.Now(), report, err)
		}
	})
}

func (s *session) requestUsage() {
	s.request(usageRequest, func() func(*model) {
		today, month, err := s.usage(s.ctx)
		return func(m *model) { m.observeUsage(s.Now(), today, month, err) }
	})
}

// requestDetail requests what the detail view shows, if it is open. Hours that are not
// known are always requested.
func (s *session) requestDetail(hours bool) {
	label, ports, open := s.model.openedClient()
	if !open {
		return
	}
	if hours || s.model.detail.hours == nil {
		s.request(hoursRequest, func() func(*model) {
			usage, err := s.hours(s.ctx, label)
			return func(m *model) { m.observeHours(label, usage, err) }
		})
	}
	if s.Remotes != nil && len(ports) > 0 {
		s.request(remotesRequest, func() func(*model) {
			remotes, err := s.remotes(ports)
			return func(m *model) { m.observeRemotes(label, remotes, err) }
		})
	}
}

// suspendGrace is how long the program may go on running while the kernel stops it.
const suspendGrace = 200 * time.Millisecond

// suspend stops the program as Ctrl-Z does elsewhere, until the shell continues it.
func (s *session) suspend() error {
	if err := s.screen.Suspend(); err != nil {
		return fmt.Errorf("suspending: %w", err)
	}
	if err := syscall.Kill(0, syscall.SIGTSTP); err != nil {
		return fmt.Errorf("suspending: %w", err)
	}
	select {
	case <-s.continued:
	case <-time.After(suspendGrace): // nobody could continue it, so the kernel has not stopped it
	case <-s.ctx.Done():
		return nil
	}
	if err := s.screen.Resume(); err != nil {
		return fmt.Errorf("going on after a suspension: %w", err)
	}
	return nil
}

// draw paints the model. The screen sends only what has changed to the terminal.
func (s *session) draw() {
	width, height := s.screen.Size()
	colored := s.screen.Colors() > 0
	s.model.resize(width, height)
	for y, line := range s.model.view() {
		x, end := 0, 0
		for _, span := range line {
			// The terminal library may disagree about the width of a name. What
			// follows keeps its column.
			end += terminal.Width(span.Text)
			s.put(x, y, s.Charset.Drawn(span.Text), look(span.Style, colored))
			x = end
		}
		s.put(x, y, strings.Repeat(" ", max(0, width-x)), tcell.StyleDefault)
	}
	s.screen.Show()
}

func (s *session) put(x, y int, text string, style tcell.Style) {
	for text != "" {
		rest, cells := s.screen.Put(x, y, text, style)
		if cells == 0 {
			return
		}
		text, x = rest, x+cells
	}
}

// look returns how a style looks.
func look(style textStyle, colored bool) tcell.Style {
	plain := tcell.StyleDefault
	switch style {
	case styleBold:
		return plain.Bold(true)
	case styleFaint:
		return plain.Dim(true)
	case styleReverse:
		return plain.Reverse(true)
	case styleChart:
		if colored {
			return plain.Foreground(color.Teal)
		}
	case styleAlarming:
		if colored {
			plain = plain.Foreground(color.Maroon)
		}
		return plain.Bold(true)
	case stylePlain:
	}
	return plain
}
