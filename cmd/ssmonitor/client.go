package main

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/urfave/cli/v2"

	"ssmonitor/accounting"
	"ssmonitor/accounting/store"
	"ssmonitor/accounting/usage"
	"ssmonitor/internal/failure"
	"ssmonitor/internal/handover"
	"ssmonitor/internal/settings"
	"ssmonitor/internal/terminal"
	"ssmonitor/output/report"
)

func clientCommand() *cli.Command {
	return &cli.Command{
		Name:  "client",
		Usage: "say who the clients are, and list them",
		Description: "Usage belongs to a client: a port and its name. The file of clients, clients.yaml, says who is who, " +
			"whatever configurations say; people and these commands edit it. A new name in it only renames the " +
			"client. When another person gets the port, `client new` begins a new history for it; the previous " +
			"client keeps its own. `client forget` removes a client that has left.\n\n" +
			"Examples:\n\n" +
			"   ssmonitor client add alice 20000 20001/tcp\n" +
			"   ssmonitor client rename alice alicia\n" +
			"   ssmonitor client new 20000 dave\n" +
			"   ssmonitor client forget alice\n" +
			"   ssmonitor client list",
		Subcommands: []*cli.Command{
			{
				Name: "list", Usage: "list the clients, with the time during which each had its port",
				Description: "Example:\n\n   ssmonitor client list",
				Flags: append(settingFlags("state"),
					&cli.BoolFlag{Name: "json", Usage: "print the clients as JSON"}),
				Action: listClients,
			},
			addCommand(), removeCommand(), renameCommand(),
			{
				Name: "new", Usage: "give a port to another client from now on (root)", ArgsUsage: "PORT NAME",
				Description: "What was counted so far belongs to the previous client, to the byte. A running agent reads the " +
					"counters at that moment. The command asks it on control.sock, beside the socket that --socket names. " +
					"Without an agent, the command reads them itself. Where there are none, as in another network " +
					"namespace, the next agent gives the port away after its first reading. The file of clients then " +
					"names the new client, if that file, the list of ports or --port has the port.\n\n" +
					"Example:\n\n   ssmonitor client new 20000 dave",
				Flags:  described(settingFlags("state", "socket", "clients", "list"), "socket", askSocket),
				Action: newClient,
			},
			forgetCommand(),
		},
	}
}

// recordedClients returns the clients in a state directory that are not forgotten.
func recordedClients(ctx context.Context, directory string) (clients []usage.Client, err error) {
	err = store.History{Directory: directory}.View(ctx, func(recorded usage.Snapshot) (err error) {
		clients, err = recorded.Clients()
		return err
	})
	return slices.DeleteFunc(clients, func(client usage.Client) bool { return client.ID() == usage.Forgotten }), err
}

func listClients(c *cli.Context) error {
	loaded, err := inputs(c).Load()
	if err != nil {
		return err
	}
	clients, err := recordedClients(c.Context, loaded.StateDirectory)
	if err != nil {
		return historyError(err, loaded.StateDirectory)
	}
	if c.Bool("json") {
		return report.WriteClientsJSON(c.App.Writer, clients)
	}
	return report.WriteClients(c.App.Writer, clients, charset())
}

// clientLedger returns the ledger of the settings, to change its clients.
func clientLedger(c *cli.Context, loaded *settings.Settings) handover.Ledger {
	return handover.Ledger{State: loaded.StateDirectory, Socket: loaded.Socket, Log: newLog(c.App.ErrWriter)}
}

func newClient(c *cli.Context) error {
	if c.NArg() != 2 {
		return failure.Wrong(fmt.Errorf("got %d arguments: want a port and a name after the options, as in ssmonitor client new 20000 dave", c.NArg()))
	}
	loaded, err := loadClients(c)
	if err != nil {
		return err
	}
	port, err := accounting.ParsePort(c.Args().Get(0))
	if err != nil {
		return failure.Wrong(err)
	}
	name, err := clientName(c.Args().Get(1))
	if err != nil {
		return err
	}
	given := transfer{port: port, name: name, path: loaded.Clients}
	if err := given.prepare(loaded); err != nil {
		return fmt.Errorf("giving port %d to %s: %w", port, name, err)
	}
	later, err := clientLedger(c, loaded).Give(c.Context, accounting.Port{Number: port, Name: given.former}, name)
	if errors.As(err, new(*store.SameClientError)) && given.differs() {
		return given.write(c) // which did not succeed before
	}
	if err != nil {
		return historyError(fmt.Errorf("giving port %d to %s: %w", port, name, err), loaded.StateDirectory)
	}
	when := "now on."
	if later {
		when = "the next start of the agent on:\nnothing is counted in this network namespace, and what the agent reads first still belongs to the previous client."
	}
	fmt.Fprintf(textWriter(c), "Port %d belongs to %s from %s\n", port, terminal.Text(name), when)
	return given.write(c)
}
