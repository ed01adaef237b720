package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"ssmonitor/accounting"
	"ssmonitor/accounting/usage"
	"ssmonitor/integration/clients"
	"ssmonitor/integration/portlist"
	"ssmonitor/integration/sources"
	"ssmonitor/internal/lookalike"
	"ssmonitor/internal/settings"
	"ssmonitor/internal/terminal"
)

// elsewhere returns the ports that the settings and the list of ports name. What the list
// has from the settings file and the file of clients is that of another time.
func elsewhere(loaded *settings.Settings) (entries []portlist.Entry, err error) {
	for _, port := range loaded.Ports {
		entry := portlist.Entry{Port: port, Sources: []string{cmp.Or(loaded.PortFile, sources.Flag)}}
		for _, target := range loaded.Targets {
			if target.Port == port.Number && port.Protocols.Has(target.Protocol) {
				entry.Targets = append(entry.Targets, target)
			}
		}
		entries = append(entries, entry)
	}
	if loaded.List == "" {
		return entries, nil
	}
	list, err := portlist.Read(loaded.List)
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	own := sources.ClientsSource(loaded.Clients)
	for _, entry := range sources.OfOthers(list, own, loaded.PortFile) {
		if i := slices.Index(entry.Sources, own); i >= 0 {
			entry.Sources, entry.Name = slices.Delete(slices.Clone(entry.Sources), i, i+1), "" // the name is the file's
		}
		entries = append(entries, entry)
	}
	return entries, err
}

// placesOf returns where a port is named.
func placesOf(entry portlist.Entry) string {
	return cmp.Or(strings.Join(entry.Sources, ", "), "the list of ports")
}

// specs returns the specifications of ports, without names.
func specs(entries []portlist.Entry) (specs []string) {
	known := make(map[uint16]bool)
	for _, entry := range entries {
		if !known[entry.Number] {
			known[entry.Number] = true
			entry.Name = ""
			specs = append(specs, portlist.FormatSpec(entry.Port, entry.Targets...))
		}
	}
	return specs
}

// formerClients returns the client that each port had last: by the ledger, if that can be
// read and knows the port, and else by what names it now.
func formerClients(ctx context.Context, loaded *settings.Settings) (map[uint16]usage.Client, error) {
	named, err := elsewhere(loaded)
	if err != nil {
		return nil, err
	}
	former := make(map[uint16]usage.Client)
	for _, entry := range named {
		if former[entry.Number].Name == "" {
			former[entry.Number] = usage.Client{Port: entry.Number, Name: entry.Name}
		}
	}
	recorded, err := recordedClients(ctx, loaded.StateDirectory)
	if err != nil {
		return former, nil //nolint:nilerr // nothing is counted yet, or check reports it
	}
	for _, client := range recorded {
		former[client.Port] = client
	}
	return former, nil
}

// noteFormer notes what becomes of the clients that had the ports of a client before.
func noteFormer(c *cli.Context, loaded *settings.Settings, name string, specs []string) error {
	former, err := formerClients(c.Context, loaded)
	if err != nil {
		return err
	}
	const most = 3
	noted := 0
	for _, spec := range specs {
		ports, _, _ := portlist.ParseSpec(spec) // which was read before
		for _, port := range ports {
			was := former[port.Number]
			if was.Name == "" || was.Name == name || noted == most {
				continue
			}
			noted++
			old, name := terminal.Text(was.Name), terminal.Text(name)
			if !was.Until.IsZero() {
				fmt.Fprintf(c.App.ErrWriter, "note: port %d was %s before: that history stays as it is, and %s begins another\n", port.Number, old, name)
				continue
			}
			fmt.Fprintf(c.App.ErrWriter, "note: port %d was %s: the file of clients counts, so this renames the client, with its history; "+
				"for another person, write %s there again and run ssmonitor client new %d %s\n",
				port.Number, old, old, port.Number, name)
		}
	}
	return nil
}

// noteStillNamed notes what else names the ports that the file of clients had for a client
// before, and has no longer: its name is that of the client now.
func noteStillNamed(c *cli.Context, loaded *settings.Settings, name string, before *clients.File) error {
	now, err := clients.Read(loaded.Clients)
	if err != nil {
		return err
	}
	had, _ := accounting.Union(slices.DeleteFunc(before.Ports(), func(port accounting.Port) bool { return port.Name != name }))
	has, _ := accounting.Union(now.Ports())
	named, err := elsewhere(loaded)
	if err != nil {
		return err
	}
	const most = 3
	noted := 0
	for _, entry := range named {
		_, was := had.Find(entry.Number)
		if _, is := has.Find(entry.Number); !was || is || noted == most {
			continue
		}
		noted++
		becomes := fmt.Sprintf("lists it, and it stays %s's unless another name is there: for another person, run ssmonitor client new %d NAME",
			terminal.Text(name), entry.Number)
		if entry.Name != "" && entry.Name != name {
			becomes = fmt.Sprintf("names it as %s, which renames %s, with its history; for another person, run ssmonitor client add %[2]s %[3]d and then ssmonitor client new %[3]d %[1]s",
				terminal.Text(entry.Name), terminal.Text(name), entry.Number)
		}
		fmt.Fprintf(c.App.ErrWriter, "note: port %d is counted all the same: %s %s\n", entry.Number, terminal.Text(placesOf(entry)), becomes)
	}
	return nil
}

// noteAlike notes the clients whose names look like that of one, which it returns.
func noteAlike(c *cli.Context, path, name string) (found clients.Client, err error) {
	file, err := clients.Read(path)
	if err != nil {
		return found, err
	}
	for _, client := range file.Clients {
		switch {
		case client.Name == name:
			found = client
		case strings.EqualFold(client.Name, name), lookalike.Skeleton(client.Name) == lookalike.Skeleton(name):
			fmt.Fprintf(c.App.ErrWriter, "note: %s looks like %s in line %d of %s: if they are one client, run ssmonitor client rename OLD NEW, which makes one of them\n",
				terminal.Text(name), terminal.Text(client.Name), client.Line, terminal.Text(path))
		}
	}
	return found, nil
}

// stillNamed adds to an error where a port is named, as the place to remove it from.
func stillNamed(err error, port uint16, loaded *settings.Settings) error {
	var places []string
	if file, readErr := clients.Read(loaded.Clients); readErr == nil {
		for _, named := range file.Ports() {
			if named.Number == port {
				places = append(places, fmt.Sprintf("%s (ssmonitor client remove)", loaded.Clients))
				break
			}
		}
	}
	named, readErr := elsewhere(loaded)
	if readErr != nil {
		return errors.Join(err, readErr)
	}
	for _, entry := range named {
		for _, source := range entry.Sources {
			if entry.Number == port {
				places = append(places, source)
			}
		}
	}
	if len(places) == 0 {
		return fmt.Errorf("%w; no file names it, so its time ends once an agent runs without --port %d", err, port)
	}
	return fmt.Errorf("%w; it is named in %s, and stays this client's until none of these lists it: for another person, run ssmonitor client new %d NAME",
		err, strings.Join(places, ", "), port)
}
