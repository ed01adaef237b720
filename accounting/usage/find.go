package usage

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/xrash/smetrics"
)

// Find returns the clients that a label written by a person stands for. It is a label as in
// reports, in upper or lower case, or the number of a port without a name. Find fails with
// a [RequestError].
func Find(clients []Client, label string) ([]ClientID, error) {
	known := make(map[string][]ClientID)
	for _, client := range clients {
		id := client.ID()
		if same := known[id.Label()]; !slices.Contains(same, id) {
			known[id.Label()] = append(same, id)
		}
	}
	for _, exact := range [...]string{label, portPrefix + label} { // as in --client 20000
		if selected := known[exact]; selected != nil {
			return selected, nil
		}
	}
	labels := slices.Sorted(maps.Keys(known))
	alike := slices.DeleteFunc(slices.Clone(labels), func(other string) bool { return !strings.EqualFold(label, other) })
	switch len(alike) {
	case 0:
		return nil, &RequestError{unknownClient(label, labels)}
	case 1:
		return known[alike[0]], nil
	}
	return nil, &RequestError{fmt.Errorf("client %q: want one of %s, as they are written", label, quoted(alike))}
}

func quoted(labels []string) string {
	var texts []string
	for _, label := range labels {
		texts = append(texts, fmt.Sprintf("%q", label))
	}
	return strings.Join(texts, ", ")
}

// unknownClient returns an error that suggests the most similar names.
func unknownClient(label string, known []string) error {
	if len(known) == 0 {
		return fmt.Errorf("client %q: no usage of any client is recorded yet", label)
	}
	distances := make(map[string]int, len(known))
	for _, name := range known {
		distances[name] = smetrics.WagnerFischer(strings.ToLower(label), strings.ToLower(name), 1, 1, 1)
	}
	slices.SortStableFunc(known, func(a, b string) int { return cmp.Compare(distances[a], distances[b]) })
	const most = 3
	return fmt.Errorf("client %q is not known: the nearest of %d are %s; see ssmonitor client list",
		label, len(known), strings.Join(known[:min(most, len(known))], ", "))
}
