# What a release consists of: for each architecture a tarball with everything
# installed below its top, and a Debian package; the source; SHA256SUMS. All of
# it is reproducible: two builds of a commit by the same Go are the same byte by
# byte. Included by the Makefile.

RELEASE = $(BUILD)/release
# Debian's names of architectures, which say more than Go's: armhf is ARMv7.
RELEASE_ARCHITECTURES := amd64 arm64 armhf
GOARCH_amd64 := amd64
GOARCH_arm64 := arm64
GOARCH_armhf := arm

SOURCE  = ssmonitor-$(VERSION)
TARBALL = $(SOURCE)-linux-$(DEBARCH)
# The same archive whoever makes it, and whenever.
TAR     = tar --sort=name --format=ustar --mtime=@$(SOURCE_DATE_EPOCH) --owner=0 --group=0 --numeric-owner

# google/nftables formats math.MaxUint32 as an int, which does not compile for
# 32 bits: armhf is built with a copy in which its type is named. The path of
# the copy is recorded in the binary, so it does not depend on BUILD.
PATCHED     := .deps/nftables
FLAGS_armhf := -modfile=.deps/armhf.mod

.PHONY: release tarball source $(addprefix release-,$(RELEASE_ARCHITECTURES))

release: ## tarballs and Debian packages for three architectures, with SHA256SUMS
	rm -rf $(RELEASE)
	$(MAKE) source $(addprefix release-,$(RELEASE_ARCHITECTURES))
	cd $(RELEASE) && LC_ALL=C sha256sum ssmonitor* >SHA256SUMS

.deps/armhf.mod: go.mod go.sum
	rm -rf $(PATCHED)
	mkdir -p $(dir $@)
	$(GO) mod download github.com/google/nftables
	cp -r "$$($(GO) list -m -f '{{.Dir}}' github.com/google/nftables)" $(PATCHED)
	chmod -R u+w $(PATCHED)
	sed -i 's/transaction", math.MaxUint32)/transaction", uint32(math.MaxUint32))/' $(PATCHED)/conn.go
	cp go.sum .deps/armhf.sum
	cp go.mod $@
	$(GO) mod edit -replace github.com/google/nftables=./$(PATCHED) $@

release-armhf: .deps/armhf.mod

$(addprefix release-,$(RELEASE_ARCHITECTURES)): release-%:
	env GOOS=linux GOARCH=$(GOARCH_$*) GOARM=7 GOAMD64=v1 GOARM64=v8.0 GOFLAGS=$(FLAGS_$*) GOEXPERIMENT= \
		$(MAKE) tarball deb BUILD=$(BUILD)/$*
	mkdir -p $(RELEASE)
	cp $(BUILD)/$*/ssmonitor-*.tar.gz $(BUILD)/$*/ssmonitor_*.deb $(RELEASE)

tarball: export SOURCE_DATE_EPOCH := $(SOURCE_DATE_EPOCH)
tarball: ## a tarball of the static binary with an install script
	rm -rf $(BUILD)/tarball $(BUILD)/ssmonitor-*.tar.gz
	umask 022; $(MAKE) install DESTDIR=$(abspath $(BUILD))/tarball/staged PREFIX=/usr/local
	mv $(BUILD)/tarball/staged/usr/local $(BUILD)/tarball/$(TARBALL)
	cp --parents README.md CHANGELOG.md LICENSE $(PAGES) $(BUILD)/tarball/$(TARBALL)
	install -m 0755 integration/install.sh $(BUILD)/tarball/$(TARBALL)
	chmod -R u=rwX,go=rX $(BUILD)/tarball/$(TARBALL)
	$(TAR) -C $(BUILD)/tarball -c $(TARBALL) | gzip -9n >$(BUILD)/$(TARBALL).tar.gz

source: ## the source of the last commit, for PKGBUILD and the RPM spec
	mkdir -p $(RELEASE)
	git archive --format=tar --prefix=$(SOURCE)/ HEAD | gzip -9n >$(RELEASE)/$(SOURCE).tar.gz
