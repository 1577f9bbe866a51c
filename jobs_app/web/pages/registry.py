"""The pages that people sign in to."""

from jobs_app.web.pages import home, job, jobs, links, preferences, sign_in

#: The blueprint of each page, or group of pages.
PAGES = (home.page, jobs.page, job.page, preferences.page, sign_in.page, links.page)
