package main

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"ssmonitor/accounting"
	"ssmonitor/integration/checkup"
	"ssmonitor/integration/sources"
	"ssmonitor/nft"
)

// kernel looks at what the kernel can do, and returns the table to look at
// further, or nil.
func (k *checking) kernel() *nft.Table {
	// Without an owner, since trying one would change the ruleset for a moment.
	table, err := nft.Open(nft.Options{Hook: k.options.Hook})
	switch {
	case errors.Is(err, nft.ErrPermission):
		k.say(checkup.Unseen, "the kernel, its counters and the firewall: CAP_NET_ADMIN is missing", checkup.AsRoot)
		return nil
	case err != nil:
		k.say(checkup.Wrong, err.Error(), "load the module (modprobe nf_tables), or boot a kernel that has it")
		return nil
	}
	k.say(checkup.OK, "CAP_NET_ADMIN is there, and the kernel has nf_tables", "")
	k.support(table)
	return table
}

func (k *checking) support(table *nft.Table) {
	support, err := table.Support()
	switch {
	case err != nil:
		k.say(checkup.Wrong, err.Error(), "see what the kernel says: dmesg")
	case !support.ObjectMaps:
		k.say(checkup.Wrong, nft.ErrNoObjectReference.Error(), "load the module (modprobe nft_objref), or boot a kernel that has it")
	case support.OwnedTables:
		k.say(checkup.OK, "the kernel has references to counters, and owned tables", "")
	case k.options.Own == nft.OwnYes:
		k.say(checkup.Wrong, nft.ErrOwnUnsupported.Error(), "set --own to auto or no, or boot Linux 6.9 or later")
	default:
		k.say(checkup.OK, "the kernel has references to counters; it has no owned tables, which --own=yes would need", "")
	}
}

// table looks at whether our own table counts the ports.
func (k *checking) table(table *nft.Table, ports accounting.Ports) {
	if len(ports) == 0 {
		return
	}
	repair := "install it: ssmonitor setup"
	if k.running {
		repair = "the agent repairs it with its next reading; if this stays, see its log: journalctl --unit ssmonitor"
	}
	findings, err := table.Verify(ports)
	switch {
	case errors.Is(err, nft.ErrForeignTable):
		k.say(checkup.Wrong, "table inet "+nft.TableName+" was made by somebody else, and is left alone",
			"look at it: nft list table inet "+nft.TableName+"\nthen rename or delete it")
	case err != nil:
		k.say(checkup.Wrong, err.Error(), "try again")
	case len(findings) == 0:
		k.say(checkup.OK, fmt.Sprintf("table inet %s counts %s at the hook %s", nft.TableName, describeCount(len(ports)), k.options.Hook), "")
	default:
		k.say(checkup.Wrong, fmt.Sprintf("table inet %s: %s", nft.TableName, strings.Join(findings, "; ")), repair)
	}
}

// neighbours looks at what the rest of the ruleset does to what we count.
func (k *checking) neighbours(table *nft.Table, ports accounting.Ports) {
	survey, err := table.Survey()
	if err != nil {
		k.say(checkup.Wrong, err.Error(), "try again")
		return
	}
	addresses, err := sources.HostAddresses()
	if err != nil {
		k.say(checkup.Wrong, "asking for the addresses of this host: "+err.Error(), "try again")
		return
	}
	published := k.translations(survey.Translations, ports, addresses)
	k.offloads(survey.Offloads, published)
	for _, place := range survey.LateFilters {
		k.say(checkup.Note, fmt.Sprintf("chain %s may drop packets after they were counted", place),
			"if they are not to count, give that chain a lower priority than table inet "+nft.TableName+" has")
	}
	k.counters(survey.Counters)
	for _, err := range survey.Unread {
		k.say(checkup.Unseen, err.Error(), "look at it: nft list ruleset")
	}
}

// translations tells of ports whose packets get another destination before the
// hook of programs on this host, and whether there are any.
func (k *checking) translations(translations []nft.Translation, ports accounting.Ports, addresses []netip.Addr) bool {
	published := false
	for _, translation := range translations {
		covered := slices.DeleteFunc(slices.Clone(ports), func(port accounting.Port) bool {
			return !translation.Covers(port) || staysHere(translation, port, addresses)
		})
		if len(covered) == 0 {
			continue
		}
		published = true
		what := fmt.Sprintf("%s: %s in %s", checkup.DescribePorts(covered), describeTranslation(translation), translation.Place)
		if k.options.Hook == nft.HookContainer {
			k.say(checkup.OK, what+", and counted before", "")
			continue
		}
		k.say(checkup.Wrong, what+", before the hook host could count",
			"count where containers are published: write \"hook: container\" into "+defaultConfig+
				"\nthen ssmonitor setup && systemctl restart ssmonitor")
	}
	return published
}

// staysHere tells whether the port's packets reach a program on this host at
// the same port.
func staysHere(t nft.Translation, port accounting.Port, addresses []netip.Addr) bool {
	local := !t.Address.IsValid() || t.Address.IsLoopback() || slices.Contains(addresses, t.Address)
	return local && !t.Mapped && (t.Port == 0 || t.Port == port.Number)
}

func describeTranslation(t nft.Translation) string {
	switch {
	case t.Mapped:
		return "sent on to addresses in a map"
	case !t.Address.IsValid():
		return fmt.Sprintf("sent on to port %d", t.Port)
	case t.Port == 0:
		return "sent on to " + t.Address.String()
	}
	return "sent on to " + netip.AddrPortFrom(t.Address, t.Port).String()
}

// offloads tells of forwarded connections that take no hook: those of published
// ports are among them.
func (k *checking) offloads(offloads []nft.Offload, published bool) {
	for _, offload := range offloads {
		what := fmt.Sprintf("chain %s hands connections over to flowtable %s", offload.Place, offload.Flowtable)
		if published {
			k.say(checkup.Wrong, what+": of published ports only their first packets are counted",
				"except those ports from the rule with flow add @"+offload.Flowtable)
		} else {
			k.say(checkup.OK, what+", but only forwarded ones: none of these ports is", "")
		}
	}
}

// counters tells of rules that count the same, as those of the set-up that
// ssmonitor replaces.
func (k *checking) counters(counters []nft.PortCounter) {
	var places []nft.Place
	rules := make(map[nft.Place]int)
	for _, counter := range counters {
		if rules[counter.Place] == 0 {
			places = append(places, counter.Place)
		}
		rules[counter.Place]++
	}
	for _, place := range places {
		k.say(checkup.Note, fmt.Sprintf("chain %s has rules that only count a port, %d of them: they cost time for each packet", place, rules[place]),
			"if they are left of a set-up with iptables and a script: "+checkup.Migration)
	}
}
