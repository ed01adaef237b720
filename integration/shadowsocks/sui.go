package shadowsocks

import (
	"fmt"

	"github.com/ncruces/go-sqlite3"

	"ssmonitor/internal/sqlitefile"
)

// The inbounds of s-ui, as sing-box has them, in one object. The users are in a table of
// their own, each with the list of the inbounds that it may use.
const querySUI = `SELECT json_object('inbounds', json_group_array(json_object(
	'type', CAST(type AS TEXT), 'tag', CAST(tag AS TEXT),
	'listen', options -> '$.listen', 'listen_port', options -> '$.listen_port', 'network', options -> '$.network',
	'netns', options -> '$.netns', 'managed', options -> '$.managed', 'detour', options -> '$.detour',
	'users', json((SELECT json_group_array(json_object('name', CAST(u.name AS TEXT))) FROM clients u
		WHERE u.enable AND json_valid(CAST(u.inbounds AS TEXT))
			AND i.id IN (SELECT value FROM json_each(CAST(u.inbounds AS TEXT))))))))
FROM (SELECT id, type, tag, CASE WHEN json_valid(CAST(options AS TEXT)) THEN CAST(options AS TEXT) END AS options
	FROM inbounds NOT INDEXED WHERE %s ORDER BY id LIMIT 65535) i`

// readSUI reads the database of the panel s-ui.
func (c *collector) readSUI(connection *sqlitefile.Conn, columns map[string]bool) error {
	c.form = formSUI
	if err := connection.CheckTable("clients"); err != nil {
		return err
	}
	condition := "true"
	if columns["node_id"] { // the inbounds of other hosts
		condition = "coalesce(node_id, 0) = 0"
	}
	return eachRow(connection, fmt.Sprintf(querySUI, condition), func(row *sqlite3.Stmt) error {
		root, err := parseJSON5([]byte(row.ColumnText(0)))
		if err != nil {
			return err
		}
		readSingBox(c, node{value: &root, mistakes: &c.mistakes})
		return c.mistakes.first
	})
}
