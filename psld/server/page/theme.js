// The colours that were chosen before, set before the page is drawn.
try {
  const theme = localStorage.getItem("psld.theme");
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
} catch { /* without storage: as the system */ }
