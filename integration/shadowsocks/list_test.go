package shadowsocks

import "testing"

func TestIsCopy(t *testing.T) {
	for name, want := range map[string]bool{
		"config.bak.json": true, "config_bak.json": true, "config.json.bak.json": true, "config-old2.json5": true, "config.dpkg-old.json": true,
		"config.example.json": true, "config.Sample.yaml": true, "config-backup-20260501.json": true, "config.bak.1700000000.json": true,
		"config - Copy (2).json": true, "config.orig.toml": true, "config_save.yml": true,
		"config.json": false, "backup.json": false, "old.json": false, "5.json": false, "old-town.json": false, "goldold.json": false,
		"05_ss_new.json": false, "bak.1.json": false, "example.org.json": false, ".json": false, "": false,
	} {
		if isCopy(name) != want {
			t.Errorf("%s: got %v, want %v", name, !want, want)
		}
	}
}
