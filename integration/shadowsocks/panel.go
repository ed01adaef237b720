package shadowsocks

import (
	"errors"
	"fmt"

	"github.com/ncruces/go-sqlite3"

	"ssmonitor/internal/sqlitefile"
)

// The inbounds of 3x-ui, and of the panels from which it was made, as Xray has them.
// SQLite takes out of the settings what matters; the passwords among them stay there.
const queryInbounds = `SELECT id, remark, %[3]s, json_object(
	'protocol', CAST(protocol AS TEXT), 'listen', CAST(listen AS TEXT),
	'port', CASE typeof(port) WHEN 'integer' THEN port ELSE CAST(port AS TEXT) END,
	'settings', json_object(
		'network', settings -> '$.network', 'allowedNetwork', settings -> '$.allowedNetwork', 'udp', settings -> '$.udp',
		'address', settings -> '$.address', 'port', settings -> '$.port',
		'rewriteAddress', settings -> '$.rewriteAddress', 'rewritePort', settings -> '$.rewritePort',
		'fallbacks', json((SELECT json_group_array(json_object('dest', value -> '$.dest'))
			FROM json_each(settings, '$.fallbacks') WHERE type = 'object'))),
	'streamSettings', json_object(
		'network', stream -> '$.network', 'method', stream -> '$.method', 'security', stream -> '$.security',
		'tlsSettings', json_object('alpn', stream -> '$.tlsSettings.alpn'),
		'dsSettings', json_object('path', stream -> '$.dsSettings.path', 'abstract', stream -> '$.dsSettings.abstract')))
FROM (SELECT id, remark, protocol, listen, port, CASE WHEN json_valid(settings) THEN settings END AS settings,
	CASE WHEN json_valid(%[1]s) THEN %[1]s END AS stream
	FROM inbounds NOT INDEXED WHERE enable %[2]s) i
ORDER BY id`

// Clients that are switched off are no users. Newer versions have the clients in tables of
// their own, and an inbound that is not in these has those of its settings.
const (
	countSettings = `(SELECT count(*) FROM json_each(settings, '$.clients') WHERE type = 'object' AND coalesce(value ->> '$.enable', 1))`
	countTable    = `coalesce((SELECT sum(c.enable <> 0) FROM client_inbounds l JOIN clients c ON c.id = l.client_id WHERE l.inbound_id = i.id), ` + countSettings + `)`
)

// Newer versions have the fallbacks in a table of their own. A destination that is not
// given is the other inbound.
const queryFallbacks = `SELECT master_id, coalesce(nullif(trim(f.dest), ''),
	CASE WHEN substr(i.listen, 1, 1) IN ('/', '@') THEN i.listen ELSE CAST(i.port AS TEXT) END)
FROM inbound_fallbacks f LEFT JOIN inbounds i ON i.id = f.child_id`

// readPanel reads the inbounds of a panel.
func (c *collector) readPanel(connection *sqlitefile.Conn) error {
	if err := connection.Exec("PRAGMA query_only = ON"); err != nil {
		return err
	}
	columns, err := columnsOf(connection, "inbounds")
	if err == nil && !columns["remark"] && !columns["options"] {
		err = refuseOther(connection)
	}
	if err == nil {
		err = connection.CheckTable("inbounds")
	}
	if err != nil {
		return err
	}
	if columns["options"] {
		return c.readSUI(connection, columns)
	}
	stream, condition := "NULL", ""
	if columns["stream_settings"] {
		stream = "stream_settings"
	}
	if columns["node_id"] { // the inbounds of other hosts
		condition = "AND node_id IS NULL"
	}
	users := countSettings
	err = connection.CheckTable("client_inbounds")
	if err == nil {
		err = connection.CheckTable("clients")
	}
	switch {
	case err == nil:
		users = countTable
	case !errors.Is(err, sqlitefile.ErrMissingTable):
		return err
	}
	var inbounds []inbound
	byID := make(map[int64]int)
	err = eachRow(connection, fmt.Sprintf(queryInbounds, stream, condition, users), func(row *sqlite3.Stmt) error {
		in, err := c.parseRow(row, fmt.Sprintf("inbound %d", len(inbounds)+1))
		byID[row.ColumnInt64(0)] = len(inbounds)
		inbounds = append(inbounds, in)
		return err
	})
	if err == nil {
		err = c.addFallbacks(connection, inbounds, byID)
	}
	if err != nil {
		return err
	}
	c.addInbounds(inbounds, len(inbounds))
	return c.mistakes.first
}

// parseRow reads an inbound in a row. Its name is the remark, whoever the users are.
func (c *collector) parseRow(row *sqlite3.Stmt, place string) (inbound, error) {
	object, err := parseJSON5([]byte(row.ColumnText(3)))
	if err != nil {
		return inbound{}, err
	}
	in, err := parseInbound(c, node{place, &object, &c.mistakes})
	in.tag, in.users = row.ColumnText(1), row.ColumnInt(2)
	in.name = in.tag
	if in.port.value != nil { // without the rest of the object
		in.port.value = &value{kind: in.port.kind, scalar: in.port.scalar}
	}
	return in, err
}

func (c *collector) addFallbacks(connection *sqlitefile.Conn, inbounds []inbound, byID map[int64]int) error {
	switch err := connection.CheckTable("inbound_fallbacks"); {
	case errors.Is(err, sqlitefile.ErrMissingTable):
		return nil
	case err != nil:
		return err
	}
	return eachRow(connection, queryFallbacks, func(row *sqlite3.Stmt) error {
		if i, found := byID[row.ColumnInt64(0)]; found {
			inbounds[i].leads = append(inbounds[i].leads, c.leadsTo(row.ColumnText(1))...)
		}
		return nil
	})
}

// otherPanels are those that leave a configuration of Xray for each change, by a table
// that only they have.
var otherPanels = map[string]string{
	"str_config":      "this is Hiddify's database: the inbounds are in /opt/hiddify-manager/xray/configs, name that with --shadowsocks",
	"alembic_version": "this is Marzban's or Marzneshin's database: the inbounds are in xray_config.json, name that with --shadowsocks",
}

// refuseOther names the panel whose database it is, if that is known.
func refuseOther(connection *sqlitefile.Conn) error {
	for table, words := range otherPanels {
		if columns, err := columnsOf(connection, table); err == nil && len(columns) > 0 {
			return fmt.Errorf("%w: %s", ErrNoPorts, words)
		}
	}
	return nil
}

// columnsOf returns the names of the columns of a table.
func columnsOf(connection *sqlitefile.Conn, table string) (map[string]bool, error) {
	columns := make(map[string]bool)
	err := eachRow(connection, "SELECT name FROM pragma_table_info('"+table+"')", func(row *sqlite3.Stmt) error {
		columns[row.ColumnText(0)] = true
		return nil
	})
	return columns, err
}

// eachRow visits the rows that a query finds, up to maxInbounds.
func eachRow(connection *sqlitefile.Conn, query string, visit func(row *sqlite3.Stmt) error) error {
	statement, _, err := connection.Prepare(query)
	if err != nil {
		return err
	}
	defer statement.Close() //nolint:errcheck // its error is that of Err
	for row := 0; statement.Step(); row++ {
		if row == maxInbounds {
			return fmt.Errorf("there are too many inbounds: want at most %d", maxInbounds)
		}
		if err := visit(statement); err != nil {
			return err
		}
	}
	return statement.Err()
}
