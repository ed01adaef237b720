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

// WriteClients writes the clients as a table for terminals, sorted by port. Times are shown in their own location.
func WriteClients(w io.Writer, clients []usage.Client, charset terminal.Charset) error {
	out := bufio.NewWriter(charset.Writer(w))
	if len(clients) == 0 {
		fmt.Fprintln(out, "No client is known yet.")
	}
	clients = sortClients(clients)
	width := len("NAME")
	for _, client := range clients {
		width = max(width, min(nameWidth, terminal.Width(charset.Text(client.Name))))
	}
	line := func(port, name, since, until string) {
		text := fmt.Sprintf("%5s  %s  %-16s  %s", port, terminal.PadRight(charset.Text(name), width), since, until)
		fmt.Fprintln(out, strings.TrimRight(text, " "))
	}
	if len(clients) > 0 {
		line("PORT", "NAME", "SINCE", "UNTIL")
	}
	for _, client := range clients {
		line(fmt.Sprint(client.Port), client.Name, clientTime(client.Since), clientTime(client.Until))
	}
	if err := out.Flush(); err != nil {
		return fmt.Errorf("writing the clients: %w", err)
	}
	return nil
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
