package main

import (
	"errors"
	"fmt"

	"github.com/urfave/cli/v2"

	"ssmonitor/accounting"
	"ssmonitor/accounting/store"
	"ssmonitor/integration/presence"
	"ssmonitor/internal/agent"
	"ssmonitor/internal/settings"
	"ssmonitor/internal/terminal"
	"ssmonitor/nft"
)

func teardownCommand() *cli.Command {
	return &cli.Command{
		Name:  "teardown",
		Usage: "remove the counters; the totals are kept",
		Description: "teardown ends all counting, adds what was counted since the last save to the totals and removes " +
			"the table from the kernel. Stop the agent first. The list of ports is kept.\n\n" +
			"Examples:\n\n" +
			"   systemctl stop ssmonitor; ssmonitor teardown\n" +
			"   ssmonitor teardown --dry-run    changes nothing\n" +
			"   ssmonitor teardown --purge      removes the totals too",
		Flags: append(settingFlags("state"),
			&cli.BoolFlag{Name: "purge", Usage: "remove the totals as well: they can't be restored"},
			&cli.BoolFlag{Name: "dry-run", Usage: "print what would be removed, and change nothing"},
		),
		Action: teardown,
	}
}

func teardown(c *cli.Context) error {
	loaded, err := inputs(c).Load()
	if err != nil {
		return err
	}
	state := loaded.StateDirectory
	table, err := nft.Open(nft.Options{})
	if err != nil {
		return err
	}
	defer func() { _ = table.Close() }()
	if c.Bool("dry-run") {
		return describeTeardown(c, table, state)
	}
	claim, err := presence.Take("", state, settings.DefaultState)
	if err != nil {
		return err
	}
	defer claim.Close()
	if c.Bool("purge") {
		return purge(c, table, state)
	}
	return removeKeepingTotals(c, table, state)
}

// describeTeardown prints what teardown would do, also beside an agent, which has to be
// stopped before.
func describeTeardown(c *cli.Context, table *nft.Table, state string) error {
	running := presence.RefuseRunning(state, settings.DefaultState)
	if running != nil && !errors.As(running, new(*presence.RunningError)) {
		return running
	}
	if running != nil {
		fmt.Fprintf(c.App.ErrWriter, "note: %s\n", terminal.Error(running))
	}
	totals := fmt.Sprintf("The totals in %s would be kept.", terminal.Text(state))
	if c.Bool("purge") {
		totals = fmt.Sprintf("The totals in %s would be removed: they can't be restored.", terminal.Text(state))
	}
	var sample accounting.Sample
	err := table.Read(&sample)
	switch {
	case errors.Is(err, accounting.ErrNoTable):
		_, err = fmt.Fprintf(textWriter(c), "There are no counters to remove. %s\n", totals)
		return err
	case err != nil && !errors.Is(err, accounting.ErrRestored): // loaded from a file, and ours
		return err
	}
	ports := make(map[uint16]bool)
	for _, reading := range sample.Readings {
		ports[reading.Key.Port] = true
	}
	_, err = fmt.Fprintf(textWriter(c), "Counting would end, and table inet %s would be removed, with the counters of %s. %s\n",
		nft.TableName, terminal.Count(len(ports), "port"), totals)
	return err
}

// purge removes the totals first, because that fails if an agent holds them.
func purge(c *cli.Context, table *nft.Table, state string) error {
	if err := store.Purge(state); err != nil {
		return err
	}
	err := table.Remove()
	if err != nil && !errors.Is(err, accounting.ErrNoTable) {
		return err
	}
	fmt.Fprintln(textWriter(c), "The counters and the totals are removed.")
	return nil
}

func removeKeepingTotals(c *cli.Context, table *nft.Table, state string) error {
	// To open totals that were purged would create them again.
	var sample accounting.Sample
	if err := table.Read(&sample); errors.Is(err, accounting.ErrNoTable) {
		fmt.Fprintln(textWriter(c), "There were no counters to remove.")
		return nil
	}
	ledger, saved, notices, err := store.Open(state, store.Options{Holder: store.TeardownHolder})
	if err != nil {
		return err
	}
	defer func() { _ = ledger.Close() }()
	for _, notice := range notices {
		fmt.Fprintf(c.App.ErrWriter, "note: %s\n", terminal.Text(notice.Text))
	}
	meter := accounting.NewMeter(accounting.MeterOptions{
		Table: table, Store: ledger, Initial: saved, Log: newLog(c.App.ErrWriter),
	})
	if err := agent.Retire(table, meter); err != nil {
		return err
	}
	ledger.ResolveNames(nil) // no port is counted any more
	fmt.Fprintf(textWriter(c), "The counters are removed; the totals are kept in %s.\n", terminal.Text(state))
	return nil
}
