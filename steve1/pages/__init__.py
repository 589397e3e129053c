"""Pages to show: one look for all of them (``base.html``), and their charts. What a page says is its maker's."""
