package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"ssmonitor/accounting"
	"ssmonitor/accounting/store"
	"ssmonitor/accounting/usage"
	"ssmonitor/integration/clients"
	"ssmonitor/internal/failure"
	"ssmonitor/internal/terminal"
)

func forgetCommand() *cli.Command {
	return &cli.Command{
		Name: "forget", Usage: "remove a client that has left, with its history (root)", ArgsUsage: "NAME|PORT|PORT-PORT",
		Description: "What the client used is added to one row, \"forgotten\", hour by hour, so that all sums stay what they were. " +
			"This can't be undone. A client that still has a port can't be forgotten. A port, or a range such as one that was " +
			"counted by mistake, stands for its past clients without a name.\n\n" +
			"The block of the client in the file of clients goes as well. The backup is made anew without the client. Other copies of the state directory, files that were kept as " +
			"damaged, and what was exported to other programs or logged still have it.\n\n" +
			"Examples:\n\n" +
			"   ssmonitor client forget alice\n" +
			"   ssmonitor client forget --yes 1-65535",
		Flags:  append(described(settingFlags("state", "socket", "clients", "list"), "socket", askSocket), doNotAsk()),
		Action: forgetClient,
	}
}

// doNotAsk returns the flag of commands that [confirm] a change.
func doNotAsk() cli.Flag { return &cli.BoolFlag{Name: "yes", Usage: "do not ask"} }

func forgetClient(c *cli.Context) error {
	if c.NArg() != 1 {
		return failure.Wrong(fmt.Errorf("got %d arguments: want a client or a range of ports after the options, as in ssmonitor client forget alice", c.NArg()))
	}
	loaded, err := loadClients(c)
	if err != nil {
		return err
	}
	recorded, err := recordedClients(c.Context, loaded.StateDirectory)
	if err != nil {
		return historyError(err, loaded.StateDirectory)
	}
	past, err := pastClients(recorded, c.Args().First())
	if counted, ok := errors.AsType[*store.CountedError](err); ok {
		return stillNamed(err, counted.Port, loaded)
	}
	if err != nil {
		return historyError(err, loaded.StateDirectory)
	}
	what := pastText(past, recorded)
	block, err := removal(loaded.Clients, past.Name)
	if err != nil {
		return err
	}
	if err := confirm(c, fmt.Sprintf("Forget %s? What was used is added to one row, \"forgotten\". This can't be undone.", what)); err != nil {
		return err
	}
	if err := clientLedger(c, loaded).Forget(c.Context, past); err != nil {
		return historyError(fmt.Errorf("forgetting %s: %w", what, err), loaded.StateDirectory)
	}
	fmt.Fprintf(textWriter(c), "Forgot %s.\n", what)
	if block == nil {
		return nil
	}
	return clients.Edit(loaded.Clients, block...)
}

// removal returns the change that removes the block of a client from the file of clients,
// or nothing if there is none. It fails if that can't be done.
func removal(path, name string) ([]clients.Change, error) {
	if path == "" || name == "" {
		return nil, nil
	}
	change := []clients.Change{clients.Remove(name)}
	_, err := clients.Preview(path, change...)
	if errors.Is(err, clients.ErrNoClient) || errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return change, err
}

// pastClients returns what the argument selects. It fails if a selected client has a port,
// and if none is selected.
func pastClients(clients []usage.Client, argument string) (usage.Past, error) {
	past, isRange := portRange(argument)
	if found, err := usage.Find(clients, argument); err == nil {
		past = usage.Past{Name: found[0].Name, First: 1, Last: math.MaxUint16}
		if past.Name == "" {
			past.First, past.Last = found[0].Port, found[0].Port
		}
	} else if !isRange {
		return past, err
	}
	if past.Name != "" || past.First == past.Last {
		for _, client := range clients {
			if client.Name == past.Name && past.First <= client.Port && client.Port <= past.Last && client.Until.IsZero() {
				return past, &store.CountedError{Client: client.ID().Label(), Port: client.Port}
			}
		}
	}
	if !slices.ContainsFunc(clients, past.Has) {
		return past, failure.Wrong(fmt.Errorf("%s: there is no past client without a name: see ssmonitor client list", argument))
	}
	return past, nil
}

// portRange reads PORT or PORT-PORT.
func portRange(text string) (past usage.Past, ok bool) {
	low, high, isRange := strings.Cut(text, "-")
	if !isRange {
		high = low
	}
	var errs [2]error
	past.First, errs[0] = accounting.ParsePort(low)
	past.Last, errs[1] = accounting.ParsePort(high)
	return past, errors.Join(errs[:]...) == nil && past.First <= past.Last
}

// pastText names the clients that are selected.
func pastText(past usage.Past, clients []usage.Client) string {
	count, label := 0, ""
	for _, client := range clients {
		if past.Has(client) {
			count, label = count+1, client.ID().Label()
		}
	}
	if past.Name == "" && count > 1 {
		return fmt.Sprintf("%s from %d to %d", terminal.Count(count, "past client"), past.First, past.Last)
	}
	return terminal.Text(label)
}

// confirm asks the person at the terminal, unless --yes is given. It fails if the answer is
// no, and without a terminal.
func confirm(c *cli.Context, question string) error {
	if c.Bool("yes") {
		return nil
	}
	if !isTerminal(c.App.Reader) {
		return failure.Wrong(errors.New("there is no terminal to ask on: confirm with --yes"))
	}
	fmt.Fprint(textWriter(c), question, " [y/N] ")
	answer, err := bufio.NewReader(io.LimitReader(c.App.Reader, 1<<10)).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("reading the answer: %w", err)
	}
	switch strings.ToLower(strings.TrimSpace(answer)) {
	case "y", "yes":
		return nil
	}
	return errors.New("nothing was changed")
}
