package main

import (
	"strings"
	"testing"
)

// TestSetupWithoutRights names a target. A user without rights sees what it would
// lead to.
func TestSetupWithoutRights(t *testing.T) {
	p := newPlace(t)
	arguments := []string{"setup", "--no-search", "--dry-run", "--port", "20000@172.17.0.2:8388", "--port", "20001", "--ports", p.list}
	status, stdout, stderr := p.asNobody(arguments...)
	if status != 0 || !strings.Contains(stdout, `172.17.0.2 . tcp . 8388 : "tcp-20000-in"`) || !strings.Contains(stderr, "can't be recognised: CAP_NET_ADMIN is missing") {
		t.Errorf("status %d\n%s%s", status, stdout, stderr)
	}
	if status, stdout, stderr = p.asNobody(append(arguments, "--json")...); status != 0 || strings.Count(stdout, `"published": true`) != 1 {
		t.Errorf("status %d\n%s%s", status, stdout, stderr)
	}
}
