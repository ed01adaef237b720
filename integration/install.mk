# Installing ssmonitor, and a Debian package of the installed files. Included by
# the Makefile, whose target build makes $(BUILD)/ssmonitor.

DESTDIR        ?=
PREFIX         ?= /usr/local
BINDIR         ?= $(PREFIX)/bin
MANDIR         ?= $(PREFIX)/share/man
DOCDIR         ?= $(PREFIX)/share/doc/ssmonitor
# For Netdata a section of netdata.conf, and a module for charts.d to use instead
# of the plugin; rules and configurations for Prometheus; a dashboard for Grafana.
SHAREDIR       ?= $(PREFIX)/share/ssmonitor
BASHDIR        ?= $(PREFIX)/share/bash-completion/completions
ZSHDIR         ?= $(PREFIX)/share/zsh/site-functions
FISHDIR        ?= $(PREFIX)/share/fish/vendor_completions.d
SYSTEMDUNITDIR ?= $(PREFIX)/lib/systemd/system
SYSUSERSDIR    ?= $(PREFIX)/lib/sysusers.d
# Netdata reads its own directory only, wherever ssmonitor is installed. If this
# is empty, ssmonitor is linked into every Netdata that is there.
NETDATADIR       ?=
NETDATAHEALTHDIR ?= /usr/lib/netdata/conf.d/health.d

UNITS := ssmonitor.service ssmonitor-setup.service ssmonitor-metrics.socket ssmonitor-metrics.service

# Of integration, installed below SHAREDIR.
SHARED := netdata/netdata.conf netdata/stream.conf netdata/health.d/ssmonitor.conf \
	$(addprefix prometheus/,README.md ssmonitor.rules.yml ssmonitor.rules.test.yml prometheus.yml agent.yml servers.yml) grafana/ssmonitor.json

# The pages that the README and each other link, installed below DOCDIR with their folders.
PAGES := $(addsuffix /README.md,accounting nft output integration) integration/places.md integration/findings.md

# The installed files, which uninstall removes.
INSTALLED = $(BINDIR)/ssmonitor \
	$(MANDIR)/man8/ssmonitor.8 \
	$(addprefix $(DOCDIR)/,README.md CHANGELOG.md LICENSE $(PAGES)) \
	$(addprefix $(SHAREDIR)/,$(SHARED) netdata/ssmonitor.chart.sh netdata/link.sh) \
	$(BASHDIR)/ssmonitor $(ZSHDIR)/_ssmonitor $(FISHDIR)/ssmonitor.fish \
	$(addprefix $(SYSTEMDUNITDIR)/,$(UNITS)) \
	$(SYSUSERSDIR)/ssmonitor.conf
NETDATA_INSTALLED = $(NETDATADIR)/plugins.d/ssmonitor.plugin \
	$(NETDATAHEALTHDIR)/ssmonitor.conf

# A binary for another architecture can't print its own manual here.
DESCRIBE := env -u GOOS -u GOARCH CGO_ENABLED=0 $(GO) run -trimpath -buildvcs=false -ldflags '$(LDFLAGS)' ./cmd/ssmonitor

.PHONY: generate install uninstall deb

generate: build
	mkdir -p $(BUILD)
	$(DESCRIBE) man >$(BUILD)/ssmonitor.8
	for shell in bash zsh fish; do \
		$(DESCRIBE) completion $$shell >$(BUILD)/ssmonitor.$$shell || exit; \
	done

install: generate ## install to PREFIX, /usr/local, below DESTDIR if set
	install -D -m 0755 $(BUILD)/ssmonitor $(DESTDIR)$(BINDIR)/ssmonitor
	install -D -m 0644 $(BUILD)/ssmonitor.8 $(DESTDIR)$(MANDIR)/man8/ssmonitor.8
	install -D -m 0644 $(BUILD)/ssmonitor.bash $(DESTDIR)$(BASHDIR)/ssmonitor
	install -D -m 0644 $(BUILD)/ssmonitor.zsh $(DESTDIR)$(ZSHDIR)/_ssmonitor
	install -D -m 0644 $(BUILD)/ssmonitor.fish $(DESTDIR)$(FISHDIR)/ssmonitor.fish
	install -d $(DESTDIR)$(DOCDIR)
	install -m 0644 README.md CHANGELOG.md LICENSE $(DESTDIR)$(DOCDIR)
	for page in $(PAGES); do install -D -m 0644 $$page $(DESTDIR)$(DOCDIR)/$$page || exit; done
	for file in $(SHARED); do install -D -m 0644 integration/$$file $(DESTDIR)$(SHAREDIR)/$$file || exit; done
	install -D -m 0644 integration/netdata/charts.d/ssmonitor.chart.sh $(DESTDIR)$(SHAREDIR)/netdata/ssmonitor.chart.sh
	install -D -m 0755 integration/netdata/link.sh $(DESTDIR)$(SHAREDIR)/netdata/link.sh
	install -D -m 0644 integration/systemd/ssmonitor.sysusers $(DESTDIR)$(SYSUSERSDIR)/ssmonitor.conf
	install -d $(DESTDIR)$(SYSTEMDUNITDIR)
	for unit in $(UNITS); do \
		sed 's|@BINDIR@|$(BINDIR)|g' integration/systemd/$$unit >$(DESTDIR)$(SYSTEMDUNITDIR)/$$unit && \
		chmod 0644 $(DESTDIR)$(SYSTEMDUNITDIR)/$$unit || exit; \
	done
# Up to version 0.2.0 a path unit started setup, which now keeps running.
ifeq ($(DESTDIR),)
	-if [ -d /run/systemd/system ] && [ -e $(SYSTEMDUNITDIR)/ssmonitor-setup.path ]; then systemctl disable --now ssmonitor-setup.path; fi
endif
	rm -f $(DESTDIR)$(SYSTEMDUNITDIR)/ssmonitor-setup.path
# Up to version 0.2.0 the agent wanted this socket, and served metrics itself.
ifeq ($(DESTDIR),)
	-if [ -L /etc/systemd/system/ssmonitor.service.wants/ssmonitor-metrics.socket ]; then systemctl reenable ssmonitor-metrics.socket; fi
endif
ifneq ($(NETDATADIR),)
	install -d $(DESTDIR)$(NETDATADIR)/plugins.d
	ln -sfr $(DESTDIR)$(BINDIR)/ssmonitor $(DESTDIR)$(NETDATADIR)/plugins.d/ssmonitor.plugin
	install -D -m 0644 integration/netdata/health.d/ssmonitor.conf $(DESTDIR)$(NETDATAHEALTHDIR)/ssmonitor.conf
else
	DESTDIR=$(DESTDIR) integration/netdata/link.sh link $(BINDIR)/ssmonitor
endif
ifeq ($(DESTDIR),)
	@echo 'Installed. To start counting, now and at every boot:'
	@echo '  systemd-sysusers && systemctl daemon-reload'
	@echo '  systemctl enable --now ssmonitor-setup.service ssmonitor.service'
	@echo 'Next: ssmonitor check (what is wrong), ssmonitor top (now), ssmonitor usage (by client)'
	@echo 'To let Netdata read: usermod -aG ssmonitor netdata && systemctl restart netdata'
endif

uninstall: ## remove the installed files and keep the totals
ifeq ($(DESTDIR),)
	-if [ -d /run/systemd/system ]; then systemctl disable --now $(UNITS); fi
	-$(BINDIR)/ssmonitor teardown || $(BINDIR)/ssmonitor teardown --config none
endif
	DESTDIR=$(DESTDIR) integration/netdata/link.sh unlink $(BINDIR)/ssmonitor
	rm -f $(addprefix $(DESTDIR),$(INSTALLED) $(if $(NETDATADIR),$(NETDATA_INSTALLED)))
	-rmdir $(addprefix $(DESTDIR)$(DOCDIR)/,$(dir $(PAGES))) $(DESTDIR)$(DOCDIR) $(addprefix $(DESTDIR)$(SHAREDIR),/netdata/health.d /netdata /prometheus /grafana /)
ifeq ($(DESTDIR),)
	-if [ -d /run/systemd/system ]; then systemctl daemon-reload; fi
	@echo 'Kept: the list of ports in /etc/ssmonitor, the totals in /var/lib/ssmonitor,'
	@echo 'and the user and group ssmonitor.'
endif

# The Debian package is reproducible: of the same commit it is the same byte by
# byte, since dpkg-deb clamps all times to SOURCE_DATE_EPOCH.

# Debian's names of architectures where they differ from Go's.
DEBARCH_386      := i386
DEBARCH_arm      := armhf
DEBARCH_mips64le := mips64el
DEBARCH_ppc64le  := ppc64el
DEBARCH           = $(or $(DEBARCH_$(shell $(GO) env GOARCH)),$(shell $(GO) env GOARCH))

# Four commits after the tag v1.2.3 it is 1.2.3+4.gCOMMIT. Without a
# tag it sorts above 0.2.0, too.
DEBVERSION ?= $(or $(shell git describe --tags --match 'v[0-9]*' --dirty=+dirty 2>/dev/null | sed 's/^v//; s/-\([0-9]*\)-g/+\1.g/'),0.2.0+$(shell git rev-list --count HEAD).g$(shell git rev-parse --short HEAD))

DEBCOMPRESSION ?= -Zxz
DEBROOT         = $(BUILD)/deb
DEB             = $(BUILD)/ssmonitor_$(DEBVERSION)_$(DEBARCH).deb

deb: export SOURCE_DATE_EPOCH := $(SOURCE_DATE_EPOCH)
deb: ## build a Debian package
	rm -rf $(DEBROOT)
	umask 022; $(MAKE) install DESTDIR=$(abspath $(DEBROOT)) PREFIX=/usr NETDATADIR=/usr/lib/netdata \
		ZSHDIR=/usr/share/zsh/vendor-completions
	install -D -m 0644 integration/debian/config.yaml $(DEBROOT)/etc/ssmonitor/config.yaml
	install -d $(DEBROOT)/DEBIAN
	echo /etc/ssmonitor/config.yaml >$(DEBROOT)/DEBIAN/conffiles
	rm $(DEBROOT)/usr/share/doc/ssmonitor/LICENSE # it is in copyright
	gzip -9n <CHANGELOG.md >$(DEBROOT)/usr/share/doc/ssmonitor/CHANGELOG.md.gz
	rm $(DEBROOT)/usr/share/doc/ssmonitor/CHANGELOG.md
	install -m 0644 integration/debian/copyright $(DEBROOT)/usr/share/doc/ssmonitor/copyright
	date=$$(LC_ALL=C date -u -R -d @$(SOURCE_DATE_EPOCH)); \
	sed "s|@VERSION@|$(DEBVERSION)|; s|@DATE@|$$date|" integration/debian/changelog.in | gzip -9n \
		>$(DEBROOT)/usr/share/doc/ssmonitor/changelog.gz
	gzip -9n $(DEBROOT)/usr/share/man/man8/ssmonitor.8
	install -D -m 0644 integration/debian/lintian-overrides $(DEBROOT)/usr/share/lintian/overrides/ssmonitor
	install -m 0755 $(addprefix integration/debian/,postinst prerm postrm) $(DEBROOT)/DEBIAN
	install -m 0644 integration/debian/triggers $(DEBROOT)/DEBIAN
	cd $(DEBROOT) && find etc usr -type f -print0 | LC_ALL=C sort -z | xargs -0 md5sum >DEBIAN/md5sums
	size=$$(du -k -s --apparent-size $(DEBROOT) | cut -f1); \
	sed "s|@VERSION@|$(DEBVERSION)|; s|@ARCHITECTURE@|$(DEBARCH)|; s|@SIZE@|$$size|" \
		integration/debian/control.in >$(DEBROOT)/DEBIAN/control
	chmod -R u=rwX,go=rX $(DEBROOT)
	dpkg-deb --root-owner-group $(DEBCOMPRESSION) --build $(DEBROOT) $(DEB)
