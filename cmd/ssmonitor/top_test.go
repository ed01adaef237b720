package main

import (
	"testing"

	"github.com/urfave/cli/v2"
)

// TestTopHasAnIntervalOfItsOwn has settings with the agent's interval and socket.
func TestTopHasAnIntervalOfItsOwn(t *testing.T) {
	config := writeSettings(t, "interval: 1h\nsocket: /nowhere\n")
	command := topCommand()
	command.Action = func(c *cli.Context) error {
		if err := runTop(c); err == nil {
			t.Error("top has found an agent")
		}
		loaded, err := load(c)
		if err != nil {
			return err
		}
		if got := c.String("interval"); got != "2s" || loaded.Socket != "/nowhere" {
			t.Errorf("got the interval %s and the socket %s", got, loaded.Socket)
		}
		return nil
	}
	app := &cli.App{Commands: []*cli.Command{command}}
	if err := app.RunContext(t.Context(), []string{"ssmonitor", "top", "--once", "--config", config}); err != nil {
		t.Fatal(err)
	}
}
