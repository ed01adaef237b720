package shadowsocks

import (
	"regexp"
	"strings"
	"testing"
)

// secret matches words for secrets. A key of the allow-list that matches would
// let a secret into memory.
var secret = regexp.MustCompile(`(?i)pass|pwd|psk|secret|key|uuid|token|auth|cert|cipher|method`)

// harmlessKeys match, but their values are no secrets: a port_password's keys
// are ports, and of its values only the kind is kept, as of port_key's; the others are lists of
// objects, of which again only known keys are kept.
var harmlessKeys = newKeySet("port_password", "port_key", "accessKeys", "keys")

func TestNoSecretIsAmongTheKnownKeys(t *testing.T) {
	for key := range knownKeys {
		if secret.MatchString(key) && !harmlessKeys[key] {
			t.Errorf("the content of %s is read", key)
		}
	}
	for _, parent := range []string{"", "port_password", "port_key", "port_conf", "additional_ports", "keys", "clients", "users", "settings"} {
		for _, key := range []string{"password", "passwd", "psk", "secret", "key", "uuid", "uPSKs", "8388"} {
			if _, content := keeps(parent, key); content {
				t.Errorf("the content of %s in %s is read", key, parent)
			}
		}
	}
	if _, content := keeps("clients", "id"); content {
		t.Error("the id of a client, which is its secret in VLESS, is read")
	}
	for _, place := range []string{"settings.method", "clients.method", "wsSettings.path", "fallbacks.path"} {
		if parent, key, _ := strings.Cut(place, "."); knownKeys[key] {
			t.Errorf("the content of %s is read", place)
		} else if _, content := keeps(parent, key); content {
			t.Errorf("the content of %s is read", place)
		}
	}
	// The method of a stream is its transport.
	query := strings.ReplaceAll(queryInbounds, "'method', stream -> '$.method'", "")
	for column := range strings.FieldsSeq(query + queryFallbacks + querySUI) {
		if secret.MatchString(column) {
			t.Errorf("a query of a panel reads %s", column)
		}
	}
}

// A value that is not known leaves nothing behind but its kind.
func TestParsersKeepKnownValuesOnly(t *testing.T) {
	const text = `{"password": "QZQZQ", "server_port": 8388, "x": {"port": 1}, "port_password": {"1": "QZQZQ"},
		"settings": {"clients": [{"id": "QZQZQ", "email": "a"}]}, "keys": [{"id": "b", "secret": "QZQZQ"}], "uPSKs": ["QZQZQ"],
		"handler": {"metadata": {"users": {"alice": "QZQZQ"}}, "users": {"QZQZQ": ""}}, "metadata": {"users": {"QZQZQ": ""}}, "handler.metadata.users": {"QZQZQ": ""}}`
	fromJSON, err := parseJSON5([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	fromYAML, err := parseYAML([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	want := "server_port=8388 port_password{1=} settings{clients[{email=a}]} keys[{id=b}] uPSKs[] " +
		"handler{metadata{users{alice=}} users{}} metadata{users{}}"
	for _, v := range []value{fromJSON, fromYAML} {
		if got := spell(v); got != "{"+want+"}" {
			t.Errorf("got %s, want {%s}", got, want)
		}
	}
}

func spell(v value) string {
	var parts []string
	for _, m := range v.members {
		equals := "="
		if m.value.kind == kindObject || m.value.kind == kindList {
			equals = ""
		}
		parts = append(parts, m.key+equals+spell(m.value))
	}
	for _, item := range v.items {
		parts = append(parts, spell(item))
	}
	switch v.kind {
	case kindObject:
		return "{" + strings.Join(parts, " ") + "}"
	case kindList:
		return "[" + strings.Join(parts, " ") + "]"
	}
	return v.scalar
}
