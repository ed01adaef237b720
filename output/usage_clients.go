package output

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"ssmonitor/accounting"
)

// WriteClientTable writes the clients as a table for terminals, sorted by port
// and time. Times are shown in their own location.
func WriteClientTable(w io.Writer, clients []accounting.PortClient) error {
	out := bufio.NewWriter(w)
	if len(clients) == 0 {
		fmt.Fprintln(out, "No client is known yet.")
	}
	clients = slices.SortedFunc(slices.Values(clients), func(a, b accounting.PortClient) int {
		return cmp.Or(cmp.Compare(a.Port, b.Port), a.Since.Compare(b.Since))
	})
	width := len("NAME")
	for _, client := range clients {
		width = max(width, min(nameWidth, displayWidth(tableText(client.Name))))
	}
	line := func(port, name, since, until string) {
		text := fmt.Sprintf("%5s  %s  %-16s  %s", port, padRight(tableText(name), width), since, until)
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

func clientTime(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.Format(minuteLayout)
}
