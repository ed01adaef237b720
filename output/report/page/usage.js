
"use strict";
const table = document.getElementById("clients");
if (table) {
	const names = new Intl.Collator(undefined, {numeric: true}).compare;
	const head = [...table.tHead.rows[0].cells];
	const body = table.tBodies[0];
	// Values have up to 20 digits, of which a Number keeps 15.
	const key = (row, column) => column === 0 ? row.cells[0].querySelector("bdi").textContent : BigInt(row.cells[column].dataset.value);
	const compare = (a, b) => typeof a === "string" ? names(a, b) : a < b ? -1 : a > b ? 1 : 0;
	head.forEach((cell, column) => cell.querySelector("button").addEventListener("click", () => {
		const first = column === 0 ? "ascending" : "descending";
		const second = column === 0 ? "descending" : "ascending";
		const order = cell.getAttribute("aria-sort") === first ? second : first;
		head.forEach(other => other.removeAttribute("aria-sort"));
		cell.setAttribute("aria-sort", order);
		const sign = order === "ascending" ? 1 : -1;
		const rows = [...body.rows].map(row => ({row, key: key(row, column)}));
		rows.sort((a, b) => sign * compare(a.key, b.key));
		body.append(...rows.map(entry => entry.row));
	}));
}
