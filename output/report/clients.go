package report

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"ssmonitor/accounting/usage"
	"ssmonitor/internal/terminal"
)

// shortRange is the most consecutive ports of one client that have a line each. More of
// them, which had the ports at the same time, share one.
const shortRange = 16

// WriteClients writes the clients as a table for terminals, sorted by port. Times are shown in their own location.
func WriteClients(w io.Writer, clients []usage.Client, charset terminal.Charset) error {
	out := bufio.NewWriter(charset.Writer(w))
	if len(clients) == 0 {
		_, err := fmt.Fprintln(w, "No client is known yet.")
		return err
	}
	clients = sortClients(clients)
	width := len("NAME")
	for _, client := range clients {
		width = max(width, min(nameWidth, terminal.Width(charset.Text(client.Name))))
	}
	rows := [][]string{{"PORT", "NAME", "SINCE", "UNTIL"}}
	for len(clients) > 0 {
		first, length := clients[0], rangeOf(clients)
		port := fmt.Sprint(first.Port)
		if length > 1 {
			port += fmt.Sprint("-", clients[length-1].Port)
		}
		rows = append(rows, []string{port, first.Name, clientTime(first.Since), clientTime(first.Until)})
		clients = clients[length:]
	}
	portWidth := len("65535")
	for _, row := range rows {
		portWidth = max(portWidth, len(row[0]))
	}
	for _, row := range rows {
		text := fmt.Sprintf("%*s  %s  %-16s  %s", portWidth, row[0], terminal.PadRight(charset.Text(row[1]), width), row[2], row[3])
		fmt.Fprintln(out, strings.TrimRight(text, " "))
	}
	if err := out.Flush(); err != nil {
		return fmt.Errorf("writing the clients: %w", err)
	}
	return nil
}

// rangeOf returns how many of the clients share the first line.
func rangeOf(clients []usage.Client) int {
	length := 1
	for length < len(clients) {
		next := clients[length-1]
		next.Port++
		if next != clients[length] {
			break
		}
		length++
	}
	if length <= shortRange {
		return 1
	}
	return length
}

// sortClients returns the clients sorted by port. Those of one port stay in order.
func sortClients(clients []usage.Client) []usage.Client {
	return slices.SortedStableFunc(slices.Values(clients), func(a, b usage.Client) int {
		return cmp.Compare(a.Port, b.Port)
	})
}

// WriteClientsJSON writes the clients as one JSON object, sorted as in the table.
// An unknown name or time is omitted.
func WriteClientsJSON(w io.Writer, clients []usage.Client) error {
	type client struct {
		Port  uint16    `json:"port"`
		Name  string    `json:"name,omitempty"`
		Since time.Time `json:"since,omitzero"`
		Until time.Time `json:"until,omitzero"`
	}
	list := struct {
		Clients []client `json:"clients"`
	}{[]client{}}
	for _, c := range sortClients(clients) {
		list.Clients = append(list.Clients, client(c))
	}
	encoder := terminal.NewJSONEncoder(w)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(list); err != nil {
		return fmt.Errorf("writing the clients as JSON: %w", err)
	}
	return nil
}

func clientTime(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.Format(minuteLayout)
}
