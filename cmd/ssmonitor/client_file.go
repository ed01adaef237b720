package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"ssmonitor/accounting"
	"ssmonitor/integration/clients"
	"ssmonitor/integration/portlist"
	"ssmonitor/internal/failure"
	"ssmonitor/internal/finding"
	"ssmonitor/internal/settings"
	"ssmonitor/internal/terminal"
)

func addCommand() *cli.Command {
	return &cli.Command{
		Name: "add", Usage: "name a client, with ports, in the file of clients (root)", ArgsUsage: "NAME [PORT[-PORT][/tcp|/udp][@ADDRESS[:PORT]]...]...",
		Description: "The ports are counted from then on, whatever configurations say, and have that name. A client without " +
			"ports stands for that name in a configuration. What the client has already is no mistake; a port of " +
			"another client in the file is.\n\n" + clientFileText +
			"Examples:\n\n   ssmonitor client add alice 20000 20001/tcp\n   ssmonitor client add bob 21000-21009\n   ssmonitor client add carol 8388@172.17.0.2",
		Flags: settingFlags("state", "clients", "list"), Action: addClient,
	}
}

func removeCommand() *cli.Command {
	return &cli.Command{
		Name: "remove", Usage: "remove a client, or ports of it, from the file of clients (root)", ArgsUsage: "NAME [PORT[-PORT][/tcp|/udp]]...",
		Description: "The ports are no longer counted, unless something else names them. The history stays. Without a port, " +
			"or with the last one, the whole block goes.\n\n" + clientFileText +
			"Examples:\n\n   ssmonitor client remove alice 20001/tcp\n   ssmonitor client remove alice",
		Flags: settingFlags("clients", "list"), Action: removeClient,
	}
}

func renameCommand() *cli.Command {
	return &cli.Command{
		Name: "rename", Usage: "give a client another name in the file of clients (root)", ArgsUsage: "OLD|PORT NEW",
		Description: "It is the same person, whose history stays; for another person, see `ssmonitor client new`. A client " +
			"that only a configuration names gets a block with its ports, which is preferred to the configuration. " +
			"If the file has the new name already, both become one client, after a question. " +
			"A port stands for the client that has it, where the name is hard to type.\n\n" + clientFileText +
			"Examples:\n\n   ssmonitor client rename alice alicia\n   ssmonitor client rename --yes ALICE alice",
		Flags:  append(settingFlags("clients", "list"), doNotAsk()),
		Action: renameClient,
	}
}

const clientFileText = "Comments, order and quotation marks in the file stay. On any mistake, the old file is in force as it was. " +
	"A running agent that reads the file applies the change within seconds.\n\n"

func addClient(c *cli.Context) error {
	if c.NArg() == 0 {
		return failure.Wrong(errors.New("got no arguments: want a name and its ports after the options, as in ssmonitor client add alice 20000"))
	}
	loaded, name, err := clientToEdit(c)
	if err != nil {
		return err
	}
	specs := c.Args().Tail()
	if err := clients.Edit(loaded.Clients, clients.Add(name, specs...)); err != nil {
		return err
	}
	if err := noteFormer(c, loaded, name, specs); err != nil {
		return err
	}
	client, err := noteAlike(c, loaded.Clients, name)
	if err != nil {
		return err
	}
	has := "the ports that a configuration gives it"
	if len(client.Ports) > 0 {
		has = finding.DescribePorts(client.Ports)
	}
	return applied(c, loaded, fmt.Sprintf("%s has %s.", terminal.Text(name), has))
}

func removeClient(c *cli.Context) error {
	if c.NArg() == 0 {
		return failure.Wrong(errors.New("got no arguments: want a name after the options, as in ssmonitor client remove alice"))
	}
	loaded, name, err := clientToEdit(c)
	if err != nil {
		return err
	}
	before, err := clients.Read(loaded.Clients)
	if err != nil {
		return err
	}
	if err := clients.Edit(loaded.Clients, clients.Remove(name, c.Args().Tail()...)); err != nil {
		return err
	}
	if err := noteStillNamed(c, loaded, name, before); err != nil {
		return err
	}
	what := "The client " + terminal.Text(name)
	if ports := c.Args().Tail(); len(ports) > 0 {
		what = "What is " + terminal.Text(name) + "'s of " + strings.Join(ports, ", ")
	}
	return applied(c, loaded, fmt.Sprintf("%s is no longer in the file. What a configuration or the flag --port names is counted all the same.\n"+
		"The history stays, until ssmonitor client forget takes it.", what))
}

func renameClient(c *cli.Context) error {
	if c.NArg() != 2 {
		return failure.Wrong(fmt.Errorf("got %d arguments: want the old and the new name after the options, as in ssmonitor client rename alice alicia", c.NArg()))
	}
	loaded, old, err := clientToEdit(c)
	if err != nil {
		return err
	}
	name, err := clientName(c.Args().Get(1))
	if err != nil {
		return err
	}
	elsewhere, err := elsewhere(loaded)
	if err != nil {
		return err
	}
	file, err := clients.Read(loaded.Clients)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	named := slices.Concat(file.Ports(), portlist.Ports(elsewhere))
	old, port := nameOf(old, named)
	if port != 0 {
		return failure.Wrong(fmt.Errorf("port %d has no name yet: give it one by ssmonitor client add %s %[1]d", port, name))
	}
	if old != name && hasName(named, old) && hasName(named, name) {
		if err := confirm(c, fmt.Sprintf("%s is a client already. Is %s the same person, so that usage is added up?", terminal.Text(name), terminal.Text(old))); err != nil {
			return fmt.Errorf("client %s: %w", strconv.Quote(name), err)
		}
	}
	elsewhere = slices.DeleteFunc(elsewhere, func(entry portlist.Entry) bool { return entry.Name != old })
	if err := clients.Edit(loaded.Clients, clients.Rename(old, name, specs(elsewhere)...)); err != nil {
		return err
	}
	if _, err := noteAlike(c, loaded.Clients, name); err != nil {
		return err
	}
	return applied(c, loaded, fmt.Sprintf("%s is %s now: the same person, whose history stays.", terminal.Text(old), terminal.Text(name)))
}

// nameOf returns the name of the client that an argument stands for: its name, or one of
// its ports, also as in "port 20000", which is how reports name it without a name: that has
// a port alone.
func nameOf(argument string, named []accounting.Port) (name string, unnamed uint16) {
	number, err := accounting.ParsePort(strings.TrimPrefix(argument, "port "))
	if err != nil || hasName(named, argument) {
		return argument, 0
	}
	for _, port := range named {
		if port.Number == number && port.Name != "" {
			return port.Name, 0
		}
		if port.Number == number {
			unnamed = number
		}
	}
	return argument, unnamed
}

func hasName(ports []accounting.Port, name string) bool {
	return slices.ContainsFunc(ports, func(port accounting.Port) bool { return port.Name == name })
}

// clientToEdit returns the settings and the name in the first argument of a command that
// edits the file of clients.
func clientToEdit(c *cli.Context) (*settings.Settings, string, error) {
	name, err := clientName(c.Args().First())
	if err != nil {
		return nil, "", err
	}
	for _, argument := range c.Args().Tail() {
		if strings.HasPrefix(argument, "--") {
			return nil, "", failure.Wrong(fmt.Errorf("%q: want options before the name", argument))
		}
	}
	loaded, err := loadClients(c)
	switch {
	case err != nil:
		return nil, "", err
	case os.Geteuid() != 0:
		return nil, "", errors.New("only root changes clients: run it as root")
	case loaded.Clients == "":
		return nil, "", failure.Wrong(errors.New("the setting clients is empty: name the file of clients with --clients"))
	}
	return loaded, name, nil
}

// loadClients returns the settings of a command that edits the file of clients.
func loadClients(c *cli.Context) (*settings.Settings, error) {
	return inputs(c, "port").Load()
}

// clientName returns a name that was given as an argument.
func clientName(argument string) (string, error) {
	name := strings.TrimSpace(argument)
	if name == "" {
		return "", failure.Wrong(errors.New(`name "": want the name of a client, as in alice`))
	}
	if want := accounting.NameFault(name); want != "" {
		return "", failure.Wrong(fmt.Errorf("name %q: want %s", name, want))
	}
	return name, nil
}

// applied prints what an edit has changed, and when that takes effect.
func applied(c *cli.Context, loaded *settings.Settings, what string) error {
	_, err := fmt.Fprintf(textWriter(c), "%s\nAn agent that reads %s applies this within seconds; without one, it holds from the next start on.\n",
		what, terminal.Text(loaded.Clients))
	return err
}

// transfer is what the file of clients says once a port is another client's.
type transfer struct {
	port   uint16
	name   string
	path   string // empty: there is no such file
	change clients.Change
	others []portlist.Entry // what names the port otherwise

	former string // the name that the file has for the port
}

// prepare finds out whether the file can be changed, before anything is.
func (t *transfer) prepare(loaded *settings.Settings) error {
	if os.Geteuid() != 0 {
		t.path = ""
		return nil
	}
	known, err := elsewhere(loaded)
	if err != nil {
		return err
	}
	t.others = slices.DeleteFunc(slices.Clone(known), func(entry portlist.Entry) bool {
		return entry.Number != t.port || entry.Name == "" || entry.Name == t.name
	})
	if t.path == "" {
		return nil
	}
	file, err := clients.Read(t.path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, port := range file.Ports() {
		known = append(known, portlist.Entry{Port: port})
		if port.Number == t.port {
			t.former = port.Name
		}
	}
	i := slices.IndexFunc(known, func(entry portlist.Entry) bool { return entry.Number == t.port })
	if i < 0 {
		t.path = "" // an agent counts it that reads something else
		return nil
	}
	t.change = clients.Give(t.port, known[i].Protocols, t.name)
	_, err = clients.Preview(t.path, t.change)
	return err
}

// differs reports whether the file has another name for the port.
func (t *transfer) differs() bool { return t.former != "" && t.former != t.name }

// write changes the file. It comes after the change of the ledger: a name that changes in
// the file alone is another name of the same client.
func (t *transfer) write(c *cli.Context) error {
	counts := "the name in the ledger counts, until that one changes"
	if t.path != "" {
		if err := clients.Edit(t.path, t.change); err != nil {
			return fmt.Errorf("port %d belongs to %s, but the file of clients does not say so: %w", t.port, t.name, err)
		}
		fmt.Fprintf(textWriter(c), "%s names %s for it.\n", terminal.Text(t.path), terminal.Text(t.name))
		counts = "the file of clients counts, but change it there as well"
	}
	for _, other := range t.others {
		fmt.Fprintf(c.App.ErrWriter, "note: port %d is still %s in %s: %s\n", t.port, terminal.Text(other.Name), terminal.Text(placesOf(other)), counts)
	}
	return nil
}
